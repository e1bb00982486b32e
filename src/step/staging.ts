import {
  fieldNames,
  fieldOf,
  isThere,
  rowCountsOf,
  type Batch,
  type DeviceFieldName,
  type FieldName,
  type FieldRows,
  type HostFieldName,
  type TargetFieldName,
} from '../data/batches/batch.js';
import {
  elementBytes,
  elements,
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
import { keysOf, recordOf } from '../records.js';
import { capacityOf, type Capacities } from './capacities.js';
import { featureTable } from './featureTable.js';
import { sharedSentences, type SharedSentences } from './sharedSentences.js';

/** Fields that may be rows of the table of features on the device. */
type FeatureField = 'visualFeats' | 'featureTargets';

/** A batch on the device with its labels: one tensor for each field, [capacity] or [capacity, width]. */
export type StagedBatch = ModelInputs & {
  readonly [N in Exclude<HostFieldName, FeatureField | TargetFieldName>]: Tensor;
} & {
  /** Only in batches of fine-tuning. */
  readonly [N in TargetFieldName]?: Tensor;
} & {
  readonly [N in FeatureField]: Tensor | FeatureRows;
} & {
  readonly record: Tensor;
  /** The step record for groups with a separate learning rate. */
  readonly ownRateRecord: Tensor;
  readonly maskedTokens: Rows;
  readonly maskedObjects: Rows;
  /** Examples: the samples themselves, or pairs of them. */
  readonly examples: Rows;
};

/** Parts of a staged batch that are derived from its fields and from the step. */
const derivedNames = ['record', 'ownRateRecord', 'rowIds', 'firstRowIds'] as const;
/** The sentences of examples with two pictures, each sentence once: the name of each part, and its values. */
const sentenceParts = {
  sentenceTokenIds: 'tokenIds',
  sentenceOffsets: 'offsets',
  sentenceRowIds: 'rowIds',
  sentenceRowOf: 'rowOf',
} as const satisfies Record<string, keyof SharedSentences>;
type SentencePart = keyof typeof sentenceParts;
const sentenceNames = keysOf(sentenceParts);
type DerivedName = (typeof derivedNames)[number] | SentencePart;
type StagedName = DerivedName | FieldName;

interface Place {
  /** Bytes from the start of the staged batch. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

const alignment = 64;
/** Rows of fields that say where samples or examples begin. */
const offsetRows: ReadonlySet<FieldRows> = new Set(['offsets', 'exampleOffsets']);

function shapeOf(name: StagedName, c: Capacities, featureDim: number): readonly number[] {
  if (name === 'record' || name === 'ownRateRecord') return [stepRecordWords];
  if (name === 'rowIds') return [c.language + c.vision, 2];
  if (name === 'firstRowIds') return [c.samples, 2];
  if (name === 'sentenceTokenIds') return [c.sentences];
  if (name === 'sentenceOffsets') return [capacityOf(c, 'exampleOffsets')];
  if (name === 'sentenceRowIds') return [c.sentences, 2];
  if (name === 'sentenceRowOf') return [c.language];
  const { rows, width } = fieldOf(name);
  const capacity = capacityOf(c, rows);
  return width === undefined ? [capacity] : [capacity, width === 'visualFeatDim' ? featureDim : width];
}

const isSentencePart = (name: StagedName): name is SentencePart => name in sentenceParts;

const isDerived = (name: StagedName): name is DerivedName =>
  (derivedNames as readonly string[]).includes(name) || isSentencePart(name);

const dtypeOf = (name: StagedName): DType => (isDerived(name) ? 'i32' : fieldOf(name).type);

/** The place of each part of a staged batch, and the bytes of all parts. */
function layout(c: Capacities, featureDim: number): { places: ReadonlyMap<StagedName, Place>; bytes: number } {
  const names: readonly StagedName[] = [
    ...derivedNames,
    ...(c.sentences > 0 ? sentenceNames : []),
    ...fieldNames.filter((name) => isThere(name, c)),
  ];
  const places = new Map<StagedName, Place>();
  let bytes = 0;
  for (const name of names) {
    const shape = shapeOf(name, c, featureDim);
    places.set(name, { offset: bytes, shape, dtype: dtypeOf(name) });
    bytes += Math.ceil((elements(shape) * elementBytes) / alignment) * alignment;
  }
  return { places, bytes };
}

/** Bytes of the inputs arena for one batch of these capacities. */
export function stagedBytes(c: Capacities, featureDim: number): number {
  return layout(c, featureDim).bytes;
}

/** The device tensors of a batch staged at `start` of the inputs arena. */
export function stagedTensors(engine: Engine, c: Capacities, featureDim: number, start: number): StagedBatch {
  const { places } = layout(c, featureDim);
  const tensor = (name: StagedName): Tensor => {
    const place = places.get(name);
    if (!place) throw new LxmertError('INTERNAL', `a staged batch has no ${name}`);
    return engine.tensor('inputs', start + place.offset, place.shape, place.dtype);
  };
  const features = (onHost: FeatureField, onDevice: DeviceFieldName): Tensor | FeatureRows =>
    c.resident ? { table: featureTable(engine, featureDim), indices: tensor(onDevice) } : tensor(onHost);
  const plain = fieldNames.filter(isPlain);
  const targets = c.finetune ? recordOf(fieldNames.filter(isTarget), tensor) : {};
  const record = tensor('record');
  const rows = (set: RowSet, capacity: number, split = 0): Rows => ({ set, capacity, split, record });
  const fields = recordOf(plain, tensor);
  return {
    ...fields,
    ...targets,
    record,
    ownRateRecord: tensor('ownRateRecord'),
    rowIds: tensor('rowIds'),
    firstRowIds: tensor('firstRowIds'),
    visualFeats: features('visualFeats', 'residentRows'),
    featureTargets: features('featureTargets', 'residentTargets'),
    tokens: { offsets: fields.tokenOffsets, longest: c.tokensOfSample },
    objects: { offsets: fields.objectOffsets, longest: c.objectsOfSample },
    samples: rows('samples', c.samples),
    language: rows('language', c.language),
    vision: rows('vision', c.vision),
    stacked: rows('stacked', c.language + c.vision, c.language),
    maskedTokens: rows('maskedTokens', c.maskedTokens),
    maskedObjects: rows('maskedObjects', c.maskedObjects),
    examples: rows(c.pictures === 1 ? 'samples' : 'maskedTokens', capacityOf(c, 'examples')),
    sentences:
      c.sentences === 0
        ? undefined
        : {
            rows: rows('maskedObjects', c.sentences),
            tokenIds: tensor('sentenceTokenIds'),
            tokens: { offsets: tensor('sentenceOffsets'), longest: c.tokensOfSample },
            rowIds: tensor('sentenceRowIds'),
            rowOf: tensor('sentenceRowOf'),
          },
  };
}

const isTarget = (name: FieldName): name is TargetFieldName => fieldOf(name).only === 'finetune';

/** Whether every batch has a tensor for the field. */
const isPlain = (name: FieldName): name is Exclude<HostFieldName, FeatureField | TargetFieldName> =>
  fieldOf(name).features === undefined && !isTarget(name);

export type StepKeys = Pick<StepRecord, 'step' | 'seed' | 'learningRate' | 'lossScale'> & {
  /** Learning rate of the groups with a separate learning rate. */
  readonly ownRate?: number | undefined;
};

/** A batch to be staged. */
export interface Staging {
  readonly batch: Batch;
  readonly keys: StepKeys;
  readonly capacities: Capacities;
  readonly featureDim: number;
}

/**
 * Writes a batch and its step record into `buffer` in the layout of the device; unused rows are zeros. The buffer must
 * have `stagedBytes` bytes. If the buffer is in the engine's `hostMemory`, it is uploaded without another copy.
 * @returns the bytes to upload
 */
export function stageInto(buffer: ArrayBufferLike, { batch, keys, capacities: c, featureDim }: Staging): Uint8Array {
  const { places, bytes } = layout(c, featureDim);
  const counts = rowCountsOf(batch);
  const sentences = c.sentences > 0 ? sharedSentences(batch) : undefined;
  for (const [name, { offset, shape, dtype }] of places) {
    const size = elements(shape);
    if (name === 'record' || name === 'ownRateRecord') {
      const { samples, language: languageRows, vision: visionRows } = counts;
      // Fine-tuning masks no words and objects. Therefore their two counts in the step record are used for the number
      // of pairs and for the number of rows of their sentences.
      const maskedTokens = c.pictures === 1 ? counts.maskedTokens : counts.examples;
      const maskedObjects = sentences ? sentences.tokenIds.length : counts.maskedObjects;
      const { ownRate = keys.learningRate } = keys;
      const learningRate = name === 'record' ? keys.learningRate : ownRate;
      writeStepRecord(
        { ...keys, learningRate, samples, languageRows, visionRows, maskedTokens, maskedObjects },
        buffer,
        offset,
      );
    } else if (name === 'rowIds') {
      const ids = new Int32Array(buffer, offset, size).fill(0);
      writeRowIds(ids, batch.tokenOffsets, batch.firstSample, 0, 0);
      writeRowIds(ids, batch.objectOffsets, batch.firstSample, c.language, firstObjectRowId);
    } else if (name === 'firstRowIds') {
      const ids = new Int32Array(buffer, offset, size).fill(0);
      for (let i = 0; i < batch.size; i++) ids[2 * i] = batch.firstSample + i;
    } else {
      const values = isSentencePart(name) ? sentences?.[sentenceParts[name]] : batch[name];
      if (!values) throw new LxmertError('INTERNAL', `a batch has no ${name}`);
      const field = dtype === 'i32' ? new Int32Array(buffer, offset, size) : new Float32Array(buffer, offset, size);
      field.set(values);
      // Samples that do not exist are empty: they begin and end where the last one ends.
      const isOffsets = isSentencePart(name) ? name === 'sentenceOffsets' : offsetRows.has(fieldOf(name).rows);
      field.fill(isOffsets ? values[values.length - 1] : 0, values.length);
    }
  }
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
