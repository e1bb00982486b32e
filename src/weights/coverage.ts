import { LxmertError } from '../errors.js';
import { escaped, shown } from '../formats/shown.js';
import { groupOf, isEncoderName } from './names.js';
import type { SourceTensor, WeightSource } from './source.js';

/** A parameter that is to be filled. */
export interface WantedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What of one part of the model was found. */
export interface GroupCoverage {
  readonly group: string;
  /** Numbers in it, and how many of them were found. */
  readonly parameters: number;
  readonly loaded: number;
  readonly share: number;
}

/** What of a model weights have. */
export interface Coverage {
  /** Tensors. */
  readonly loaded: number;
  /** Parameters of the model that the file lacks. */
  readonly missing: readonly string[];
  /** Tensors of the file that the model does not have, by transformers' names. */
  readonly unexpected: readonly string[];
  /** `name: file [2,3], model [2,4]`. */
  readonly misshapen: readonly string[];
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

const sameShape = (a: readonly number[], b: readonly number[]) => a.join() === b.join();

/** The weights of a file that count: neither buffers nor second copies. */
export function primaryTensors(source: WeightSource): readonly SourceTensor[] {
  return [...source.tensors.values()].filter(({ copyOf, buffer }) => copyOf === undefined && buffer !== true);
}

/** Holds the tensors of a file against the parameters of a model. */
export function cover(source: WeightSource, wanted: readonly WantedTensor[]): Coverage {
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unexpected = new Set(primaryTensors(source).map(({ name }) => name));
  for (const { name, shape } of wanted) {
    unexpected.delete(name);
    const found = source.tensors.get(name);
    if (!found) missing.push(name);
    else if (!sameShape(found.shape, shape))
      misshapen.push(`${name}: file ${JSON.stringify(found.shape)}, model ${JSON.stringify(shape)}`);
  }
  return {
    loaded: wanted.length - missing.length - misshapen.length,
    missing,
    misshapen,
    unexpected: [...unexpected].map(escaped),
  };
}

/** Names of parameters that were not found. */
export function namesLeft({ missing, misshapen }: Coverage): readonly string[] {
  return [...missing, ...misshapen.map((text) => text.slice(0, text.indexOf(':')))];
}

/** How much of each part of a model was found; `loadedOf` says how many numbers of a parameter. */
export function coverGroups(
  wanted: readonly WantedTensor[],
  loadedOf: (name: string, numbers: number) => number,
): readonly GroupCoverage[] {
  const groups = new Map<string, { parameters: number; loaded: number }>();
  for (const { name, shape } of wanted) {
    const numbers = product(shape);
    const group = groups.get(groupOf(name)) ?? { parameters: 0, loaded: 0 };
    group.parameters += numbers;
    group.loaded += loadedOf(name, numbers);
    groups.set(groupOf(name), group);
  }
  return [...groups].map(([group, { parameters, loaded }]) => ({
    group,
    parameters,
    loaded,
    share: parameters === 0 ? 1 : loaded / parameters,
  }));
}

/** Weights that an LXMERT has and a BERT has not: a BERT fills the language encoder, and the rest stays as it is. */
const besideBert = /^lxmert\.encoder\.(visn_fc|r_layers|x_layers)\./;

/**
 * What of the encoder is missing without leave.
 * @param allowed names or patterns with `*`
 * @throws BAD_CHECKPOINT naming them, and those of another shape; BAD_ARGUMENT for a pattern that no parameter has
 */
export function demandEncoder(
  source: WeightSource,
  coverage: Coverage,
  wanted: readonly WantedTensor[],
  {
    allowed = [],
    bertAlone = false,
  }: { readonly allowed?: readonly string[] | undefined; readonly bertAlone?: boolean } = {},
): void {
  const isAllowed = allowedBy(allowed, wanted);
  const leave = (name: string) => isAllowed(name) || (bertAlone && source.layout === 'bert' && besideBert.test(name));
  const missing = coverage.missing.filter((name) => isEncoderName(name) && !leave(name));
  const misshapen = coverage.misshapen.filter(isEncoderName);
  if (missing.length + misshapen.length === 0) return;
  throw new LxmertError(
    'BAD_CHECKPOINT',
    `${source.path}: ${missing.length + misshapen.length} encoder weights are missing or of another shape: ` +
      `${some([...missing, ...misshapen])}. ` +
      (misshapen.length > 0
        ? 'Do hiddenSize, intermediateSize and the numbers of layers agree with its config.json?'
        : 'If that is meant, name them with --allow-missing'),
  );
}

/** Whether a name fits one of the patterns. @throws BAD_ARGUMENT for a pattern that fits none of the wanted ones */
export function allowedBy(patterns: readonly string[], wanted: readonly WantedTensor[]): (name: string) => boolean {
  const tests = patterns.map((pattern) => {
    const source = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    const test = new RegExp(`^${source.join('.*')}$`);
    if (!wanted.some(({ name }) => test.test(name)))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `--allow-missing ${shown(pattern)} names no parameter of the model; expected names such as lxmert.pooler.dense.bias, or lxmert.encoder.r_layers.*`,
      );
    return test;
  });
  return (name) => tests.some((test) => test.test(name));
}

/** The first few of a list, for a message. */
export function some(names: readonly string[]): string {
  return names.slice(0, 3).join('; ') + (names.length > 3 ? `; and ${names.length - 3} more` : '');
}

/**
 * Copies that do not equal what they repeat, such as a decoder that was not tied to the word table. The model has one
 * place for both; the copy is then lost, and this says so.
 */
export async function unequalCopies(source: WeightSource): Promise<readonly string[]> {
  const unequal: string[] = [];
  for (const copy of source.tensors.values()) {
    const other = copy.copyOf === undefined ? undefined : source.tensors.get(copy.copyOf);
    if (!other || (copy.place !== undefined && copy.place === other.place)) continue;
    if (!sameShape(copy.shape, other.shape) || copy.dtype !== other.dtype || !(await sameValues(copy, other)))
      unequal.push(`${copy.name} differs from ${other.name}, with which it is tied; the latter was taken`);
  }
  return unequal;
}

async function sameValues(a: SourceTensor, b: SourceTensor): Promise<boolean> {
  const others = b.pieces();
  try {
    for await (const values of a.pieces()) {
      const { value } = await others.next();
      if (!value || Buffer.compare(asBytes(values), asBytes(value)) !== 0) {
        // Pieces are of other lengths where one of the two is not stored side by side.
        if (value?.length !== values.length)
          return Buffer.compare(asBytes(await a.read()), asBytes(await b.read())) === 0;
        return false;
      }
    }
    return true;
  } finally {
    await others.return();
  }
}

const asBytes = (values: ArrayBufferView) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
