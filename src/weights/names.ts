import { voltaNames } from './volta.js';

/** The program whose names a file has. The tensors that a file must have depend on it. */
export type Layout = 'lxmert' | 'bert' | 'volta';

/** A tensor of a file, with its name in transformers. */
export interface NamedTensor {
  readonly fileName: string;
  /** The name in transformers' `LxmertForPreTraining`. */
  readonly name: string;
  /** If this is a second copy of a tied weight, transformers' name of the first copy. */
  readonly copyOf?: string | undefined;
  /** Whether it is not a weight but a constant buffer. */
  readonly buffer?: boolean | undefined;
}

/** Tied weights of BERT and LXMERT: the decoder of the word logits is the word table. */
const tied: Readonly<Record<string, string>> = {
  'cls.predictions.decoder.weight': 'lxmert.embeddings.word_embeddings.weight',
  'cls.predictions.decoder.bias': 'cls.predictions.bias',
};

const buffers = new Set(['lxmert.embeddings.position_ids']);

/** Prefixes of names in a wrapped model (DataParallel, torch.compile, or a module of a trainer). */
const wrappers = /(^|\.)(?:(?:module|_orig_mod)\.)+/g;

const bareRoots = /^(embeddings|encoder|pooler)\./;

/** How transformers' names of an LXMERT model begin. */
const known = /^(lxmert|cls|obj_predict_head|answer_head)\./;

/** Whether a name in transformers may belong to an LXMERT model. */
export const isKnownName = (name: string): boolean => known.test(name);

/**
 * Finds transformers' name for each name of a file. Prefixes of wrappers are dropped, as in the original.
 * `LayerNorm.gamma` and `.beta` are the names of the first version of BERT. Unknown names do not change.
 */
export function nameTensors(fileNames: readonly string[]): {
  readonly tensors: readonly NamedTensor[];
  readonly layout: Layout;
} {
  const plain = fileNames.map((fileName) =>
    fileName
      .replace(wrappers, '$1')
      .replace(/\.gamma$/, '.weight')
      .replace(/\.beta$/, '.bias'),
  );
  const prefix = outerPrefix(plain);
  const inner = plain.map((name) => (prefix !== '' && name.startsWith(prefix) ? name.slice(prefix.length) : name));
  const volta = inner.some((name) => name.includes('.attention_self.'));
  if (volta) return { tensors: withCopies(fileNames, voltaNames(inner)), layout: 'volta' };
  const bare = !inner.some((name) => /^(bert|lxmert)\./.test(name));
  const named = inner.map((name) => ({
    name:
      bare && bareRoots.test(name)
        ? `lxmert.${name}`
        : name.replace(/^bert\./, 'lxmert.').replace(/^logit_fc\./, 'answer_head.logit_fc.'),
  }));
  const hasPictures = named.some(({ name }) => /^lxmert\.encoder\.(visn_fc|r_layers|x_layers)\./.test(name));
  const hasLayers = named.some(({ name }) => name.startsWith('lxmert.encoder.layer.'));
  return { tensors: withCopies(fileNames, named), layout: hasLayers && !hasPictures ? 'bert' : 'lxmert' };
}

/** The prefix before `bert.` if the model is a part of another model, such as `lxrt_encoder.model.` in the original. */
function outerPrefix(names: readonly string[]): string {
  for (const name of names) {
    const [, prefix] = /^(.+\.)(?:bert|lxmert)\.(?:embeddings|encoder|pooler)\./.exec(name) ?? [];
    if (prefix !== undefined) return prefix;
  }
  return '';
}

function withCopies(fileNames: readonly string[], named: readonly Omit<NamedTensor, 'fileName'>[]): NamedTensor[] {
  const present = new Set(named.flatMap(({ name, copyOf }) => (copyOf === undefined ? [name] : [])));
  return named.map((tensor, i) => {
    const fileName = fileNames[i];
    const copyOf = tensor.copyOf ?? (Object.hasOwn(tied, tensor.name) ? tied[tensor.name] : undefined);
    if (buffers.has(tensor.name)) return { fileName, name: tensor.name, buffer: true };
    if (copyOf === undefined) return { fileName, name: tensor.name };
    // A file may have only one of two tied tensors, under one of the two names.
    return present.has(copyOf) ? { fileName, name: tensor.name, copyOf } : { fileName, name: copyOf };
  });
}

/** Parts of a model, for reports. */
const groups: readonly (readonly [RegExp, string])[] = [
  [/^lxmert\.embeddings\./, 'textEmbeddings'],
  [/^lxmert\.encoder\.visn_fc\./, 'objectEmbeddings'],
  [/^lxmert\.encoder\.layer\./, 'languageLayers'],
  [/^lxmert\.encoder\.r_layers\./, 'objectLayers'],
  [/^lxmert\.encoder\.x_layers\./, 'crossLayers'],
  [/^lxmert\.pooler\./, 'pooler'],
  [/^cls\.predictions\./, 'maskedLmHead'],
  [/^cls\.seq_relationship\./, 'matchedHead'],
  [/^obj_predict_head\./, 'objectHeads'],
  [/^answer_head\./, 'answerHead'],
];

/** The part of the model that a parameter belongs to. */
export const groupOf = (name: string): string => groups.find(([begin]) => begin.test(name))?.[1] ?? 'other';

export const isEncoderName = (name: string): boolean => name.startsWith('lxmert.');
