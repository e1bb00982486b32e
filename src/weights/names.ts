import { voltaNames } from './volta.js';

/** Whose names a file has, which says what can be expected of it. */
export type Layout = 'lxmert' | 'bert' | 'volta';

/** What a name of a file stands for. */
export interface NamedTensor {
  readonly fileName: string;
  /** In transformers' `LxmertForPreTraining`. */
  readonly name: string;
  /** The tensor, by transformers' name, of which this one is a second copy: equal where the weights are tied. */
  readonly copyOf?: string | undefined;
  /** No weight, but a buffer that is always the same. */
  readonly buffer?: boolean | undefined;
}

/** Copies that BERT and LXMERT have by definition: the decoder of the word logits is the word table. */
const tied: Readonly<Record<string, string>> = {
  'cls.predictions.decoder.weight': 'lxmert.embeddings.word_embeddings.weight',
  'cls.predictions.decoder.bias': 'cls.predictions.bias',
};

const buffers = new Set(['lxmert.embeddings.position_ids']);

/** Models within a wrapper, as of DataParallel, torch.compile or a trainer's module. */
const wrappers = /(^|\.)(?:(?:module|_orig_mod)\.)+/g;

const bareRoots = /^(embeddings|encoder|pooler)\./;

/** Begins of names that a model of this family has, as transformers writes them. */
const known = /^(lxmert|cls|obj_predict_head|answer_head)\./;

/** Whether a transformers' name may belong to an LXMERT. */
export const isKnownName = (name: string): boolean => known.test(name);

/**
 * Transformers' names for those of a file, whoever wrote it. Wrappers' prefixes are dropped, as the original does;
 * `LayerNorm.gamma` and `.beta` are BERT's first names. Names that are unknown stay as they are.
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

/** What stands before `bert.` in all names of a model that is a part of another: `lxrt_encoder.model.` in the original. */
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
    // A file may keep only one of two tied tensors, and that under either name.
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
