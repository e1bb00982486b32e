import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import {
  elementBytes,
  maxAttentionLength,
  stepRecordWords,
  writeStepRecord,
  type DType,
  type Engine,
  type FeatureRows,
  type Rows,
  type RowSet,
  type StepRecord,
  type Tensor,
} from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { firstObjectRowId, type ModelInputs } from '../model/inputs.js';
import { featureTable } from './featureTable.js';

/**
 * Capacities are rounded up, so that few different ones occur and most steps are replays of a recording: those of rows to a
 * multiple of a power of two, at least this, that is a small part of them. Heads of masked rows cost little: they take a larger one.
 */
const rowRounding = 64;
const partOfRows = 1 / 64;
const partOfMaskedRows = 1 / 4;
const sampleRounding = 8;
const lengthRounding = 16;

/** Row capacities of a staged batch: what memory and launches depend on. */
export interface Capacities {
  readonly samples: number;
  readonly language: number;
  readonly vision: number;
  readonly maskedTokens: number;
  readonly maskedObjects: number;
  /** Rows of a sample at most. */
  readonly tokensOfSample: number;
  readonly objectsOfSample: number;
  /** Whether features are rows of the table on the device. */
  readonly resident: boolean;
}

/** A batch on the device with its labels. */
export interface StagedBatch extends ModelInputs {
  readonly record: Tensor;
  readonly maskedTokens: Rows;
  readonly maskedTokenRows: Tensor;
  readonly maskedTokenLabels: Tensor;
  readonly objectLabels: Tensor;
  readonly objectConfs: Tensor;
  readonly attributeLabels: Tensor;
  readonly attributeConfs: Tensor;
  readonly maskedObjects: Rows;
  readonly maskedObjectRows: Tensor;
  readonly featureTargets: Tensor | FeatureRows;
  readonly matched: Tensor;
  readonly answers: Tensor;
}

/** Those of a batch, or of one with another number of samples like its own. */
export function capacitiesOf(batch: Batch, samples = batch.size): Capacities {
  const rounded = (n: number, to: number): number => Math.max(1, Math.ceil(n / to)) * to;
  const share = (n: number, part: number): number => {
    const rows = (n * samples) / batch.size;
    let step = rowRounding;
    while (step < rows * part) step *= 2;
    return rounded(rows, step);
  };
  return {
    samples: rounded(samples, sampleRounding),
    language: share(batch.tokenIds.length, partOfRows),
    vision: share(batch.objects.labels.length, partOfRows),
    maskedTokens: share(batch.maskedTokens.rows.length, partOfMaskedRows),
    maskedObjects: share(batch.maskedObjects.rows.length, partOfMaskedRows),
    tokensOfSample: rounded(longestOf(batch.tokenOffsets), lengthRounding),
    objectsOfSample: rounded(longestOf(batch.objectOffsets), lengthRounding),
    resident: batch.resident !== undefined,
  };
}

function longestOf(offsets: Int32Array): number {
  let longest = 0;
  for (let s = 1; s < offsets.length; s++) longest = Math.max(longest, offsets[s] - offsets[s - 1]);
  return longest;
}

type Field = readonly [shape: readonly number[], dtype: DType];

/** What is staged, in its order in memory. */
function fieldsOf(c: Capacities, featureDim: number): Record<string, Field> {
  const features = (rows: number): Field => (c.resident ? [[rows], 'i32'] : [[rows, featureDim], 'f32']);
  return {
    record: [[stepRecordWords], 'i32'],
    tokenIds: [[c.language], 'i32'],
    tokenOffsets: [[c.samples + 1], 'i32'],
    objectOffsets: [[c.samples + 1], 'i32'],
    rowIds: [[c.language + c.vision, 2], 'i32'],
    firstRowIds: [[c.samples, 2], 'i32'],
    visualFeats: features(c.vision),
    visualPos: [[c.vision, 4], 'f32'],
    maskedTokenRows: [[c.maskedTokens], 'i32'],
    maskedTokenLabels: [[c.maskedTokens], 'i32'],
    objectLabels: [[c.vision], 'i32'],
    objectConfs: [[c.vision], 'f32'],
    attributeLabels: [[c.vision], 'i32'],
    attributeConfs: [[c.vision], 'f32'],
    maskedObjectRows: [[c.maskedObjects], 'i32'],
    featureTargets: features(c.maskedObjects),
    matched: [[c.samples], 'i32'],
    answers: [[c.samples], 'i32'],
  };
}

const alignment = 64;

const sizeOf = ([shape]: Field): number => shape.reduce((product, n) => product * n, 1);

function layout(c: Capacities, featureDim: number): { offsets: Record<string, number>; bytes: number } {
  const offsets: Record<string, number> = {};
  let bytes = 0;
  for (const [name, field] of Object.entries(fieldsOf(c, featureDim))) {
    offsets[name] = bytes;
    bytes += Math.ceil((sizeOf(field) * elementBytes) / alignment) * alignment;
  }
  return { offsets, bytes };
}

/** Bytes of the inputs arena that one batch of these capacities takes. */
export function stagedBytes(c: Capacities, featureDim: number): number {
  return layout(c, featureDim).bytes;
}

/** The device tensors of a batch staged at `start` of the inputs arena. */
export function stagedTensors(engine: Engine, c: Capacities, featureDim: number, start: number): StagedBatch {
  const { offsets } = layout(c, featureDim);
  const tensors: Record<string, Tensor> = {};
  for (const [name, [shape, dtype]] of Object.entries(fieldsOf(c, featureDim)))
    tensors[name] = engine.tensor('inputs', start + offsets[name], shape, dtype);
  const table = c.resident && featureTable(engine, featureDim);
  const features = (indices: Tensor): Tensor | FeatureRows => (table ? { table, indices } : indices);
  const rows = (set: RowSet, capacity: number, split = 0): Rows => ({ set, capacity, split, record: tensors.record });
  return {
    ...tensors,
    visualFeats: features(tensors.visualFeats),
    featureTargets: features(tensors.featureTargets),
    tokens: { offsets: tensors.tokenOffsets, longest: c.tokensOfSample },
    objects: { offsets: tensors.objectOffsets, longest: c.objectsOfSample },
    samples: rows('samples', c.samples),
    language: rows('language', c.language),
    vision: rows('vision', c.vision),
    stacked: rows('stacked', c.language + c.vision, c.language),
    maskedTokens: rows('maskedTokens', c.maskedTokens),
    maskedObjects: rows('maskedObjects', c.maskedObjects),
  } as unknown as StagedBatch;
}

export type StepKeys = Pick<StepRecord, 'step' | 'seed' | 'learningRate' | 'lossScale'>;

/** What is staged, and where to. */
export interface Staging {
  readonly batch: Batch;
  readonly keys: StepKeys;
  readonly capacities: Capacities;
  readonly featureDim: number;
}

/**
 * Writes a batch and its step record as the device will hold them; unused rows are zeros. Returns the bytes of `buffer`, of
 * which there must be `stagedBytes`. From the engine's `hostMemory` they are uploaded without another copy.
 */
export function stageInto(buffer: ArrayBufferLike, { batch, keys, capacities: c, featureDim }: Staging): Uint8Array {
  const { offsets, bytes } = layout(c, featureDim);
  const fields = fieldsOf(c, featureDim);
  const ints = (name: string): Int32Array => new Int32Array(buffer, offsets[name], sizeOf(fields[name]));
  const floats = (name: string): Float32Array => new Float32Array(buffer, offsets[name], sizeOf(fields[name]));
  const put = (name: string, values: Int32Array | Float32Array): void => {
    const field = values instanceof Int32Array ? ints(name) : floats(name);
    field.set(values);
    field.fill(0, values.length);
  };
  writeStepRecord(
    {
      ...keys,
      samples: batch.size,
      languageRows: batch.tokenIds.length,
      visionRows: batch.objects.labels.length,
      maskedTokens: batch.maskedTokens.rows.length,
      maskedObjects: batch.maskedObjects.rows.length,
    },
    buffer,
    offsets.record,
  );
  put('tokenIds', batch.tokenIds);
  for (const name of ['tokenOffsets', 'objectOffsets'] as const) {
    const values = batch[name];
    ints(name).set(values);
    ints(name).fill(values[values.length - 1], values.length);
  }
  const rowIds = ints('rowIds');
  rowIds.fill(0);
  writeRowIds(rowIds, batch.tokenOffsets, batch.firstSample, 0, 0);
  writeRowIds(rowIds, batch.objectOffsets, batch.firstSample, c.language, firstObjectRowId);
  const firstRowIds = ints('firstRowIds');
  firstRowIds.fill(0);
  for (let i = 0; i < batch.size; i++) firstRowIds[2 * i] = batch.firstSample + i;
  put('visualFeats', batch.resident?.rows ?? batch.visualFeats);
  put('visualPos', batch.visualPos);
  put('maskedTokenRows', batch.maskedTokens.rows);
  put('maskedTokenLabels', batch.maskedTokens.labels);
  put('objectLabels', batch.objects.labels);
  put('objectConfs', batch.objects.confs);
  put('attributeLabels', batch.attributes.labels);
  put('attributeConfs', batch.attributes.confs);
  put('maskedObjectRows', batch.maskedObjects.rows);
  put('featureTargets', batch.resident?.targets ?? batch.maskedObjects.targets);
  put('matched', batch.matched);
  put('answers', batch.answers);
  return new Uint8Array(buffer, 0, bytes);
}

function writeRowIds(
  rowIds: Int32Array,
  offsets: Int32Array,
  firstSample: number,
  base: number,
  firstId: number,
): void {
  for (let s = 0; s + 1 < offsets.length; s++)
    for (let row = offsets[s]; row < offsets[s + 1]; row++) {
      rowIds[2 * (base + row)] = firstSample + s;
      rowIds[2 * (base + row) + 1] = firstId + row - offsets[s];
    }
}

/**
 * Refuses a batch that the model cannot take, naming the sample. `mostRows`: tokens or objects that the device's attention
 * takes. `tableRows`: features that lie on the device.
 * @throws LxmertError BAD_DATA
 */
export function checkBatch(
  batch: Batch,
  config: ModelConfig,
  { mostRows = maxAttentionLength, tableRows = 0 }: { mostRows?: number; tableRows?: number } = {},
): void {
  const rows = { tokens: batch.tokenOffsets, objects: batch.objectOffsets };
  const sampleOf = (offsets: Int32Array, row: number): string =>
    batch.sampleIds[offsets.findLastIndex((offset) => offset <= row)] ?? `row ${row}`;
  const longest = { tokens: Math.min(mostRows, config.maxPositionEmbeddings), objects: mostRows };
  for (const kind of ['tokens', 'objects'] as const)
    for (let s = 0; s < batch.size; s++) {
      const n = rows[kind][s + 1] - rows[kind][s];
      if (n < 1 || n > longest[kind])
        throw new LxmertError(
          'BAD_DATA',
          `sample ${batch.sampleIds[s]} has ${n} ${kind}, expected 1 to ${longest[kind]}`,
        );
    }
  const within = (
    what: string,
    values: Int32Array,
    first: number,
    limit: number,
    name: (i: number) => string,
  ): void => {
    const bad = values.findIndex((value) => value < first || value >= limit);
    if (bad >= 0)
      throw new LxmertError(
        'BAD_DATA',
        `sample ${name(bad)}: ${what} ${values[bad]} is outside [${first}, ${limit}), which the model was made for`,
      );
  };
  const ofToken = (row: number): string => sampleOf(rows.tokens, row);
  const ofObject = (row: number): string => sampleOf(rows.objects, row);
  const ofSample = (s: number): string => batch.sampleIds[s];
  within('token id', batch.tokenIds, 0, config.vocabSize, ofToken);
  within('masked token', batch.maskedTokens.labels, 0, config.vocabSize, (i) => ofToken(batch.maskedTokens.rows[i]));
  within('object class', batch.objects.labels, 0, config.numObjectLabels, ofObject);
  within('attribute', batch.attributes.labels, 0, config.numAttrLabels, ofObject);
  within('answer', batch.answers, -1, config.numQaLabels, ofSample);
  if (batch.resident) {
    within('row of the features', batch.resident.rows, -1, tableRows, ofObject);
    within('row of the targets', batch.resident.targets, 0, tableRows, (i) => ofObject(batch.maskedObjects.rows[i]));
  } else if (batch.visualFeats.length !== batch.objects.labels.length * config.visualFeatDim)
    throw new LxmertError(
      'BAD_DATA',
      `features of ${batch.visualFeats.length / batch.objects.labels.length} floats an object; the model takes ${config.visualFeatDim}`,
    );
}
