import { LxmertError } from '../errors.js';
import { escaped, shown } from '../formats/shown.js';
import { groupOf, isEncoderName } from './names.js';
import type { SourceTensor, WeightSource } from './source.js';

/** A parameter of the model that needs a value. */
export interface WantedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** How much of one part of the model was found in the weights. */
export interface GroupCoverage {
  readonly group: string;
  /** The number of scalars in this part. `loaded` is how many of them were found. */
  readonly parameters: number;
  readonly loaded: number;
  readonly share: number;
}

/** The result of comparing the tensors of a file with the parameters of a model. */
export interface Coverage {
  /** Number of parameters that the file has with the right shape. */
  readonly loaded: number;
  /** Parameters of the model that the file does not have. */
  readonly missing: readonly string[];
  /** Tensors of the file that the model does not have, by transformers' names. */
  readonly unexpected: readonly string[];
  /** Parameters that have another shape in the file, as texts such as `name: file [2,3], model [2,4]`. */
  readonly misshapen: readonly string[];
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

const sameShape = (a: readonly number[], b: readonly number[]) => a.join() === b.join();

/** The weights of a file, without buffers and without second copies of a weight. */
export function primaryTensors(source: WeightSource): readonly SourceTensor[] {
  return [...source.tensors.values()].filter(({ copyOf, buffer }) => copyOf === undefined && buffer !== true);
}

/** Compares the tensors of a file with the parameters of a model. */
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

/** Names of the parameters that are missing or have another shape. */
export function namesLeft({ missing, misshapen }: Coverage): readonly string[] {
  return [...missing, ...misshapen.map((text) => text.slice(0, text.indexOf(':')))];
}

/** How much of each part of a model was found. `loadedOf` returns how many scalars of a parameter were found. */
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

/** Encoder weights that a BERT model does not have. BERT has only embeddings and the language encoder. */
const besideBert = /^lxmert\.encoder\.(visn_fc|r_layers|x_layers)\./;

/**
 * Checks that the file has all encoder weights, except those that may be missing.
 * @param allowed names of weights that may be missing, or patterns with `*`. If `bertAlone` is true and the file has a
 * BERT model, the weights that BERT does not have may be missing, too.
 * @throws BAD_CHECKPOINT naming the weights that are missing or have another shape; BAD_ARGUMENT for a pattern that
 * fits no parameter
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
        : 'If they may be missing, name them with --allow-missing'),
  );
}

/**
 * Returns a function that says whether a name fits one of the patterns.
 * @throws BAD_ARGUMENT for a pattern that fits none of the wanted names
 */
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

/** The first three names of a list and the number of the others, for a message. */
export function some(names: readonly string[]): string {
  return names.slice(0, 3).join('; ') + (names.length > 3 ? `; and ${names.length - 3} more` : '');
}

/**
 * Finds second copies of a weight that differ from the weight, such as a decoder that was not tied to the word table.
 * The model stores the weight only once, so a different copy is lost. Returns a note for each lost copy.
 */
export async function unequalCopies(source: WeightSource): Promise<readonly string[]> {
  const unequal: string[] = [];
  for (const copy of source.tensors.values()) {
    const other = copy.copyOf === undefined ? undefined : source.tensors.get(copy.copyOf);
    if (!other || (copy.place !== undefined && copy.place === other.place)) continue;
    if (!sameShape(copy.shape, other.shape) || copy.dtype !== other.dtype || !(await sameValues(copy, other)))
      unequal.push(
        `${copy.name} differs from ${other.name}, although the model stores both only once; ${other.name} was used`,
      );
  }
  return unequal;
}

async function sameValues(a: SourceTensor, b: SourceTensor): Promise<boolean> {
  const others = b.pieces();
  try {
    for await (const values of a.pieces()) {
      const { value } = await others.next();
      if (!value || Buffer.compare(asBytes(values), asBytes(value)) !== 0) {
        // If one of the two tensors is not contiguous in its file, its pieces may have other lengths than the other's.
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
