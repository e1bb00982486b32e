/** Small models and random batches for tests of the model, the tasks and the trainer. */
import { modelConfigSchema, type ModelConfig } from '../../src/config/modelConfig.js';
import type { Batch } from '../../src/data/batches/batch.js';
import type { FeatureTable } from '../../src/data/features/residentFeatures.js';
import { floatToHalf } from '../../src/formats/dtypes.js';
import { roundToHalf } from '../engine/support/half.js';
import { Rng } from '../engine/support/rng.js';

/** A model that computes in a few milliseconds; all its sizes differ, so that a test fails if two are confused. */
export function smallConfig(changes: Partial<ModelConfig> = {}): ModelConfig {
  return modelConfigSchema.parse({
    vocabSize: 61,
    hiddenSize: 24,
    numAttentionHeads: 3,
    intermediateSize: 40,
    lLayers: 1,
    rLayers: 1,
    xLayers: 1,
    maxPositionEmbeddings: 32,
    visualFeatDim: 18,
    numObjectLabels: 11,
    numAttrLabels: 7,
    numQaLabels: 13,
    initializerRange: 0.2,
    ...changes,
  });
}

export interface RandomBatchOptions {
  readonly samples?: number;
  readonly firstSample?: number;
  /** Smallest and largest numbers of tokens and of objects in a sample. */
  readonly tokens?: readonly [number, number];
  readonly objects?: readonly [number, number];
  /** Shares of the tokens and of the objects that the model must predict. */
  readonly masked?: number;
  /** Shares of the samples that are matched and of the samples with an answer. */
  readonly matched?: number;
  readonly answered?: number;
}

/** A batch of random samples: features N(0, 1), boxes in [0, 1], random labels. The same seed gives the same batch. */
export function randomBatch(config: ModelConfig, seed: number, options: RandomBatchOptions = {}): Batch {
  const { samples = 5, firstSample = 0, tokens = [1, 12], objects = [1, 9], masked = 0.3 } = options;
  const { matched = 0.5, answered = 0.6 } = options;
  const rng = new Rng(seed, 0xba7c);
  const lengths = (range: readonly [number, number]): number[] =>
    Array.from({ length: samples }, () => rng.int(range[0], range[1]));
  const tokenOffsets = offsetsOf(lengths(tokens));
  const objectOffsets = offsetsOf(lengths(objects));
  const words = tokenOffsets[samples];
  const boxes = objectOffsets[samples];
  const maskedTokenRows = Int32Array.from(rng.subset(words, masked));
  const maskedObjectRows = Int32Array.from(rng.subset(boxes, masked));
  const confs = (): Float32Array => Float32Array.from({ length: boxes }, () => rng.uniform());
  return {
    size: samples,
    firstSample,
    sampleIds: Array.from({ length: samples }, (_, s) => `sample ${firstSample + s} of seed ${seed}`),
    tokenIds: rng.ints(words, 0, config.vocabSize - 1),
    tokenOffsets,
    objectOffsets,
    visualFeats: rng.floats(boxes * config.visualFeatDim),
    visualPos: Float32Array.from({ length: boxes * config.visualPosDim }, () => rng.uniform()),
    maskedTokenRows,
    maskedTokenLabels: rng.ints(maskedTokenRows.length, 0, config.vocabSize - 1),
    objectLabels: rng.ints(boxes, 0, config.numObjectLabels - 1),
    objectConfs: confs(),
    attributeLabels: rng.ints(boxes, 0, config.numAttrLabels - 1),
    attributeConfs: confs(),
    maskedObjectRows,
    featureTargets: rng.floats(maskedObjectRows.length * config.visualFeatDim),
    matched: Int32Array.from({ length: samples }, () => (rng.chance(matched) ? 1 : 0)),
    answers: Int32Array.from({ length: samples }, () =>
      rng.chance(answered) ? rng.int(0, config.numQaLabels - 1) : -1,
    ),
  };
}

/** Splits a batch into batches of the given sizes, as for gradient accumulation or several ranks. */
export function splitBatch(batch: Batch, sizes: readonly number[]): Batch[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== batch.size) throw new RangeError(`parts of ${total} samples from a batch of ${batch.size}`);
  let first = 0;
  return sizes.map((size) => sliceBatch(batch, (first += size) - size, size));
}

/** Samples first … first + count - 1 of a batch; they keep their positions in the global batch. */
export function sliceBatch(batch: Batch, first: number, count: number): Batch {
  const last = first + count;
  const shifted = (offsets: Int32Array): Int32Array => offsets.slice(first, last + 1).map((o) => o - offsets[first]);
  const [tokenBegin, tokenEnd] = [batch.tokenOffsets[first], batch.tokenOffsets[last]];
  const [objectBegin, objectEnd] = [batch.objectOffsets[first], batch.objectOffsets[last]];
  const objects = batch.objectLabels.length;
  const perObject = <T extends Float32Array | Int32Array>(values: T): T => {
    const width = objects === 0 ? 0 : values.length / objects;
    return values.slice(objectBegin * width, objectEnd * width) as T;
  };
  const within = (rows: Int32Array, begin: number, end: number): [number, number] => [
    rows.filter((row) => row < begin).length,
    rows.filter((row) => row < end).length,
  ];
  const words = within(batch.maskedTokenRows, tokenBegin, tokenEnd);
  const masked = within(batch.maskedObjectRows, objectBegin, objectEnd);
  const featureDim = objects === 0 ? 0 : batch.visualFeats.length / objects;
  return {
    size: count,
    firstSample: batch.firstSample + first,
    sampleIds: batch.sampleIds.slice(first, last),
    tokenIds: batch.tokenIds.slice(tokenBegin, tokenEnd),
    tokenOffsets: shifted(batch.tokenOffsets),
    objectOffsets: shifted(batch.objectOffsets),
    visualFeats: perObject(batch.visualFeats),
    visualPos: perObject(batch.visualPos),
    maskedTokenRows: batch.maskedTokenRows.slice(...words).map((row) => row - tokenBegin),
    maskedTokenLabels: batch.maskedTokenLabels.slice(...words),
    objectLabels: perObject(batch.objectLabels),
    objectConfs: perObject(batch.objectConfs),
    attributeLabels: perObject(batch.attributeLabels),
    attributeConfs: perObject(batch.attributeConfs),
    maskedObjectRows: batch.maskedObjectRows.slice(...masked).map((row) => row - objectBegin),
    featureTargets: batch.featureTargets.slice(masked[0] * featureDim, masked[1] * featureDim),
    matched: batch.matched.slice(first, last),
    answers: batch.answers.slice(first, last),
  };
}

/**
 * Batches in two forms: with their features, and with row numbers of a table that has the same features. The features are
 * exact in float16, and some are zeros. The rows of the table are unordered, and some belong to no sample.
 */
export function residentBatches(batches: readonly Batch[], featureDim: number) {
  const rng = new Rng(batches.length, 0xfea7);
  const plain = batches.map((batch): Batch => {
    const visualFeats = batch.visualFeats.map(roundToHalf);
    for (const row of rng.subset(batch.objectLabels.length, 0.2))
      visualFeats.fill(0, row * featureDim, (row + 1) * featureDim);
    return { ...batch, visualFeats, featureTargets: batch.featureTargets.map(roundToHalf) };
  });
  const all = plain.flatMap(({ visualFeats, featureTargets }) => [...visualFeats, ...featureTargets]);
  const count = all.length / featureDim;
  const rows = count + 7;
  // This step visits all rows, because it has no common factor with their number.
  let stride = 5;
  while (rows % stride === 0) stride += 2;
  const numbers = new Uint16Array(rows * featureDim).fill(0x7c00);
  const place = (i: number): number => ((i + 1) * stride) % rows;
  for (let i = 0; i < count; i++)
    for (let c = 0; c < featureDim; c++) numbers[place(i) * featureDim + c] = floatToHalf(all[i * featureDim + c]);
  let next = 0;
  const name = (features: Float32Array): Int32Array =>
    Int32Array.from({ length: features.length / featureDim }, (_, row) => {
      const at = place(next++);
      return features.subarray(row * featureDim, (row + 1) * featureDim).some((x) => x !== 0) ? at : -1;
    });
  const resident = plain.map((batch): Batch => {
    const residentRows = name(batch.visualFeats);
    const residentTargets = name(batch.featureTargets);
    const none = new Float32Array(0);
    return { ...batch, visualFeats: none, featureTargets: none, residentRows, residentTargets };
  });
  const table: FeatureTable = {
    rows,
    sharedRows: 0,
    featureDim,
    async *pieces() {
      for (let from = 0; from < rows; from += 50) yield numbers.slice(from * featureDim, (from + 50) * featureDim);
    },
  };
  return { plain, resident, table };
}

function offsetsOf(lengths: readonly number[]): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, s) => (offsets[s + 1] = offsets[s] + length));
  return offsets;
}
