/** Small models and random batches for tests of the model, the tasks and the trainer. */
import { modelConfigSchema, type ModelConfig } from '../../src/config/modelConfig.js';
import type { Batch } from '../../src/data/batch.js';
import { Rng } from '../engine/support/rng.js';

/** A model that computes in a few milliseconds; every size differs, so that a mix-up shows. */
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
  /** Fewest and most tokens and objects of a sample. */
  readonly tokens?: readonly [number, number];
  readonly objects?: readonly [number, number];
  /** Share of tokens and of objects to predict. */
  readonly masked?: number;
  /** Share of samples that are matched, and of those with an answer. */
  readonly matched?: number;
  readonly answered?: number;
}

/** A batch of random samples: features N(0, 1), boxes in [0, 1], labels at random. The same seed gives the same batch. */
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
  const maskedTokens = Int32Array.from(rng.subset(words, masked));
  const maskedObjects = Int32Array.from(rng.subset(boxes, masked));
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
    maskedTokens: { rows: maskedTokens, labels: rng.ints(maskedTokens.length, 0, config.vocabSize - 1) },
    objects: { labels: rng.ints(boxes, 0, config.numObjectLabels - 1), confs: confs() },
    attributes: { labels: rng.ints(boxes, 0, config.numAttrLabels - 1), confs: confs() },
    maskedObjects: { rows: maskedObjects, targets: rng.floats(maskedObjects.length * config.visualFeatDim) },
    matched: Int32Array.from({ length: samples }, () => (rng.chance(matched) ? 1 : 0)),
    answers: Int32Array.from({ length: samples }, () =>
      rng.chance(answered) ? rng.int(0, config.numQaLabels - 1) : -1,
    ),
  };
}

/** The same samples as several batches of the given sizes, as gradient accumulation or several ranks would see them. */
export function splitBatch(batch: Batch, sizes: readonly number[]): Batch[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== batch.size) throw new RangeError(`parts of ${total} samples from a batch of ${batch.size}`);
  let first = 0;
  return sizes.map((size) => sliceBatch(batch, (first += size) - size, size));
}

/** Samples first … first + count - 1 of a batch; they keep their places in the global batch. */
export function sliceBatch(batch: Batch, first: number, count: number): Batch {
  const last = first + count;
  const shifted = (offsets: Int32Array): Int32Array => offsets.slice(first, last + 1).map((o) => o - offsets[first]);
  const [tokenBegin, tokenEnd] = [batch.tokenOffsets[first], batch.tokenOffsets[last]];
  const [objectBegin, objectEnd] = [batch.objectOffsets[first], batch.objectOffsets[last]];
  const objects = batch.objects.labels.length;
  const perObject = <T extends Float32Array | Int32Array>(values: T): T => {
    const width = objects === 0 ? 0 : values.length / objects;
    return values.slice(objectBegin * width, objectEnd * width) as T;
  };
  const within = (rows: Int32Array, begin: number, end: number): [number, number] => [
    rows.filter((row) => row < begin).length,
    rows.filter((row) => row < end).length,
  ];
  const { maskedTokens, maskedObjects } = batch;
  const words = within(maskedTokens.rows, tokenBegin, tokenEnd);
  const masked = within(maskedObjects.rows, objectBegin, objectEnd);
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
    maskedTokens: {
      rows: maskedTokens.rows.slice(...words).map((row) => row - tokenBegin),
      labels: maskedTokens.labels.slice(...words),
    },
    objects: { labels: perObject(batch.objects.labels), confs: perObject(batch.objects.confs) },
    attributes: { labels: perObject(batch.attributes.labels), confs: perObject(batch.attributes.confs) },
    maskedObjects: {
      rows: maskedObjects.rows.slice(...masked).map((row) => row - objectBegin),
      targets: maskedObjects.targets.slice(masked[0] * featureDim, masked[1] * featureDim),
    },
    matched: batch.matched.slice(first, last),
    answers: batch.answers.slice(first, last),
  };
}

function offsetsOf(lengths: readonly number[]): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, s) => (offsets[s + 1] = offsets[s] + length));
  return offsets;
}
