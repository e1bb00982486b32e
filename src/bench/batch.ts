import type { ModelConfig } from '../config/modelConfig.js';
import { batchOf, type Batch } from '../data/batches/batch.js';
import { epochOrder, RandomStream } from '../data/random.js';
import { maxAttentionLength } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { byteSize } from '../figures.js';

export interface BenchBatchOptions {
  readonly samples: number;
  /** Smallest and largest length of a sample in tokens, with [CLS] and [SEP]. The mean length is halfway between them. */
  readonly tokens: readonly [number, number];
  /** Objects of every image. */
  readonly objects: number;
  readonly seed: number;
}

/** Share of words and of objects that are masked (LXMERT, section 3.1). */
const maskedShare = 0.15;

/** Number of different feature values: a prime, so that no two objects of a batch are equal. */
const featureBlock = 65537;

/**
 * A batch of random samples with the shape of real data. Sentence lengths are spread evenly over their range. The model
 * must predict 15 % of the words (never [CLS] or [SEP]) and of the objects. Half of the sentences are swapped. Samples
 * that are not swapped have an answer.
 * @throws LxmertError BAD_ARGUMENT for lengths that the model does not take; OUT_OF_MEMORY
 */
export function benchBatch(config: ModelConfig, { samples, tokens, objects, seed }: BenchBatchOptions): Batch {
  const [fewest, most] = tokens;
  const longest = Math.min(maxAttentionLength, config.maxPositionEmbeddings);
  if (fewest < 3 || most < fewest || most > longest)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${fewest} to ${most} tokens a sample: expected 3 ([CLS], a word, [SEP]) to ${longest}, the smaller number first`,
    );
  if (objects < 1 || objects > maxAttentionLength)
    throw new LxmertError('BAD_ARGUMENT', `${objects} objects a sample: expected 1 to ${maxAttentionLength}`);
  checkMemory(samples * objects * config.visualFeatDim, samples);

  const random = new RandomStream(seed);
  const order = epochOrder(seed, 0, samples);
  const spread = (i: number): number => Math.round(fewest + ((most - fewest) * (i + 0.5)) / samples - halfUp(i));
  // If two lengths are equally near, the first half of the samples takes the smaller one and the second half the larger
  // one.
  const halfUp = (i: number): number => (2 * i + 1 < samples ? 1e-9 : 0);
  const tokenOffsets = offsetsOf(Array.from(order, spread));
  const objectOffsets = offsetsOf(new Array<number>(samples).fill(objects));
  const words = tokenOffsets[samples];
  const boxes = objectOffsets[samples];

  random.at(0, 0, 'words');
  const tokenIds = below(random, words, config.vocabSize);
  const inner = Array.from({ length: words }, (_, row) => row).filter((row) => !isEdge(tokenOffsets, row));
  const maskedTokenRows = subset(random, inner);
  random.at(0, 0, 'objects');
  const maskedObjectRows = subset(random, [...Array(boxes).keys()]);
  const floats = (length: number, make: () => number): Float32Array => Float32Array.from({ length }, make);
  const uniform = (): number => random.uniform();
  // Half of the entries are zeros, as after a detector's ReLU. A block of them is repeated, to save time.
  const block = floats(featureBlock, () => Math.max(0, 2 * random.uniform() - 1));
  const features = (rows: number): Float32Array =>
    new Float32Array(rows * config.visualFeatDim).map((_, i) => block[i % featureBlock]);
  const matched = Int32Array.from({ length: samples }, () => random.below(2));
  return batchOf({
    sampleIds: Array.from({ length: samples }, (_, s) => `bench ${s}`),
    tokenIds,
    tokenOffsets,
    objectOffsets,
    visualFeats: features(boxes),
    visualPos: floats(boxes * config.visualPosDim, uniform),
    maskedTokenRows,
    maskedTokenLabels: below(random, maskedTokenRows.length, config.vocabSize),
    objectLabels: below(random, boxes, config.numObjectLabels),
    objectConfs: floats(boxes, uniform),
    attributeLabels: below(random, boxes, config.numAttrLabels),
    attributeConfs: floats(boxes, uniform),
    maskedObjectRows,
    featureTargets: features(maskedObjectRows.length),
    matched,
    answers: matched.map((match) => (match === 1 ? random.below(config.numQaLabels) : -1)),
  });
}

/**
 * Checks that there is enough memory for the features, which are in the batch and in two input slots. This check comes
 * first, because drawing the features can take minutes.
 */
function checkMemory(floats: number, samples: number): void {
  const needed = 3 * 4 * floats * (1 + maskedShare);
  const available = process.availableMemory();
  if (needed <= available) return;
  throw new LxmertError(
    'OUT_OF_MEMORY',
    `the features of ${samples} samples take ${byteSize(needed)}, the machine has ${byteSize(available)} free; ` +
      `take at most ${Math.floor((samples * available) / needed)}`,
  );
}

function offsetsOf(lengths: readonly number[]): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, s) => (offsets[s + 1] = offsets[s] + length));
  return offsets;
}

/** Whether a row is the first or the last of its sample. */
function isEdge(offsets: Int32Array, row: number): boolean {
  return offsets.includes(row) || offsets.includes(row + 1);
}

function below(random: RandomStream, length: number, limit: number): Int32Array {
  return Int32Array.from({ length }, () => random.below(limit));
}

/** 15 % of the rows, drawn without replacement, ascending. */
function subset(random: RandomStream, rows: readonly number[]): Int32Array {
  const left = [...rows];
  const count = Math.round(maskedShare * rows.length);
  const drawn = Array.from({ length: count }, () => left.splice(random.below(left.length), 1)[0]);
  return Int32Array.from(drawn).sort();
}
