import { keysOf, recordOf } from '../../records.js';

/**
 * The kinds of rows that a field may have:
 * - `samples`: one row for each sample; `offsets`: one row more than samples;
 * - `language`, `vision`: the rows of the language or the vision stream;
 * - `maskedTokens`, `maskedObjects`: the rows of a stream that the model must predict;
 * - in fine-tuning: `examples` (an example is one or two samples), `exampleOffsets` (one row more than examples) and
 *   `targets` (the soft targets of all examples).
 */
export type FieldRows =
  | 'samples'
  | 'offsets'
  | 'language'
  | 'vision'
  | 'maskedTokens'
  | 'maskedObjects'
  | 'examples'
  | 'exampleOffsets'
  | 'targets';

/** One array of a batch. */
export interface BatchField {
  readonly rows: FieldRows;
  readonly type: 'i32' | 'f32';
  /** Values of one row; 1 unless given. */
  readonly width?: 4 | 'visualFeatDim';
  /** Values are in [from, below). */
  readonly range?: {
    /** A name for a value, used in error messages. */
    readonly what: string;
    readonly from: 0 | -1;
    /** The limit: a size of the model, or the number of rows of the feature table on the device. */
    readonly below: RangeLimit;
  };
  /** Values are row numbers in this stream. */
  readonly pointsTo?: 'language' | 'vision';
  /** If given, a batch has the field only if its features come with it (`host`) or are in a table on the device (`device`). */
  readonly features?: 'host' | 'device';
  /** If given, only batches of fine-tuning have the field. */
  readonly only?: 'finetune';
  /** The value of a row for which there is nothing to predict; 0 unless given. */
  readonly without?: number;
}

type RangeLimit = 'vocabSize' | 'numObjectLabels' | 'numAttrLabels' | 'numQaLabels' | 'tableRows';

/** The values of the limits that ranges use. */
export type RangeLimits = Readonly<Record<RangeLimit, number>>;

/**
 * The fields of a batch. Transfer between threads, slicing, the layout in device memory, zero filling and range checks
 * are all derived from this table.
 *
 * Sample s owns the language rows `tokenOffsets[s] … tokenOffsets[s + 1] - 1` and the vision rows `objectOffsets[s] …
 * objectOffsets[s + 1] - 1`. No row is padding.
 */
export const batchFields = {
  /** WordPiece ids that the model gets: after masking, with [CLS] and [SEP]. */
  tokenIds: { rows: 'language', type: 'i32', range: { what: 'token id', from: 0, below: 'vocabSize' } },
  tokenOffsets: { rows: 'offsets', type: 'i32' },
  objectOffsets: { rows: 'offsets', type: 'i32' },
  /** RoI features that the model gets: after masking. */
  visualFeats: { rows: 'vision', type: 'f32', width: 'visualFeatDim', features: 'host' },
  /** The same features as row numbers in the table on the device. -1 means a feature of zeros. */
  residentRows: {
    rows: 'vision',
    type: 'i32',
    features: 'device',
    range: { what: 'row of the features', from: -1, below: 'tableRows' },
  },
  /** Boxes x0, y0, x1, y1 as shares of the picture. */
  visualPos: { rows: 'vision', type: 'f32', width: 4 },
  /** Language rows to predict, ascending, and their original ids. */
  maskedTokenRows: { rows: 'maskedTokens', type: 'i32', pointsTo: 'language' },
  maskedTokenLabels: {
    rows: 'maskedTokens',
    type: 'i32',
    range: { what: 'masked token', from: 0, below: 'vocabSize' },
  },
  /** The detector's class of every object, and its confidence. */
  objectLabels: { rows: 'vision', type: 'i32', range: { what: 'object class', from: 0, below: 'numObjectLabels' } },
  objectConfs: { rows: 'vision', type: 'f32' },
  /** The detector's attribute of every object, and its confidence. */
  attributeLabels: { rows: 'vision', type: 'i32', range: { what: 'attribute', from: 0, below: 'numAttrLabels' } },
  attributeConfs: { rows: 'vision', type: 'f32' },
  /** Vision rows to predict, ascending, and their original features. */
  maskedObjectRows: { rows: 'maskedObjects', type: 'i32', pointsTo: 'vision' },
  featureTargets: { rows: 'maskedObjects', type: 'f32', width: 'visualFeatDim', features: 'host' },
  /** The original features as row numbers in the table on the device. */
  residentTargets: {
    rows: 'maskedObjects',
    type: 'i32',
    features: 'device',
    range: { what: 'row of the targets', from: 0, below: 'tableRows' },
  },
  /** 1 if sentence and image belong together, 0 if the sentence was swapped. */
  matched: { rows: 'samples', type: 'i32', without: 1 },
  /** Index into the answer table; -1 if the sample has no question to answer. */
  answers: { rows: 'samples', type: 'i32', range: { what: 'answer', from: -1, below: 'numQaLabels' }, without: -1 },
  /** Fine-tuning: the targets of example e are `targetOffsets[e] … targetOffsets[e + 1] - 1`. */
  targetOffsets: { rows: 'exampleOffsets', type: 'i32', only: 'finetune' },
  /** The right answers of all examples, and the score of each, 0 to 1. */
  targetIds: {
    rows: 'targets',
    type: 'i32',
    only: 'finetune',
    range: { what: 'target', from: 0, below: 'numQaLabels' },
  },
  targetScores: { rows: 'targets', type: 'f32', only: 'finetune' },
  /** The class of each example, for a loss with one right class; -1 if the example has none. */
  targetLabels: {
    rows: 'examples',
    type: 'i32',
    only: 'finetune',
    range: { what: 'class', from: -1, below: 'numQaLabels' },
    without: -1,
  },
} as const satisfies Record<string, BatchField>;

type Fields = typeof batchFields;
export type FieldName = keyof Fields;

/** Fields that are in a batch only if the features are on the device. */
export type DeviceFieldName = { [N in FieldName]: Fields[N] extends { features: 'device' } ? N : never }[FieldName];
/** Fields that only batches of fine-tuning have. */
export type TargetFieldName = { [N in FieldName]: Fields[N] extends { only: 'finetune' } ? N : never }[FieldName];
export type HostFieldName = Exclude<FieldName, DeviceFieldName>;

type ArrayOf<N extends FieldName> = Fields[N] extends { type: 'f32' } ? Float32Array : Int32Array;

/** The arrays of `batchFields`, each [rows × width]. An array of features is empty if the features are not in the batch. */
type BatchArrays = { readonly [N in Exclude<HostFieldName, TargetFieldName>]: ArrayOf<N> } & {
  readonly [N in DeviceFieldName | TargetFieldName]?: ArrayOf<N> | undefined;
};

/** A batch on the host: the packed rows of two streams, and the labels that the model must predict. */
export interface Batch extends BatchArrays {
  /** Samples in this batch (B). */
  readonly size: number;
  /**
   * Position of sample 0 in the global batch. Dropout depends on the position in the global batch, so dividing a batch
   * into parts or among ranks changes no mask.
   */
  readonly firstSample: number;
  /** The name of each sample (image id and sentence), for messages about the sample. */
  readonly sampleIds: readonly string[];
  /**
   * Number of neighbouring samples that make one example; 1 unless given. In NLVR2 it is 2: an example has one sentence and
   * two pictures, and each of its two samples has the sentence and one of the pictures.
   */
  readonly pictures?: 1 | 2 | undefined;
}

/** Number of examples in a batch. An example has one label, and a step counts examples. */
export const examplesOf = ({ size, pictures = 1 }: Pick<Batch, 'size' | 'pictures'>): number => size / pictures;

/** The fields that `batchOf` needs. The labels may be left out. */
type BatchInputs = Pick<
  Batch,
  'sampleIds' | 'tokenIds' | 'tokenOffsets' | 'objectOffsets' | 'visualFeats' | 'visualPos'
>;

export const fieldNames = keysOf(batchFields);

/** The description of a field. */
export const fieldOf = (name: FieldName): BatchField => batchFields[name];

/** The two properties that determine which fields a batch has. */
export interface BatchForm {
  /** The features are in a table on the device. */
  readonly resident: boolean;
  /** The batch has the targets of fine-tuning. */
  readonly finetune: boolean;
}

/** Whether batches of a form have a field. */
export function isThere(name: FieldName, { resident, finetune }: BatchForm): boolean {
  const { features, only } = fieldOf(name);
  if (only === 'finetune' && !finetune) return false;
  return features === undefined || (features === 'device') === resident;
}

export const isResident = (batch: Pick<Batch, 'residentRows'>): boolean => batch.residentRows !== undefined;

export const formOf = ({ residentRows, targetOffsets }: Pick<Batch, 'residentRows' | 'targetOffsets'>): BatchForm => ({
  resident: residentRows !== undefined,
  finetune: targetOffsets !== undefined,
});

/** How many rows a batch has of each kind. */
export function rowCountsOf(
  batch: Pick<
    Batch,
    'size' | 'tokenOffsets' | 'objectOffsets' | 'maskedTokenRows' | 'maskedObjectRows' | 'pictures' | 'targetIds'
  >,
): Readonly<Record<FieldRows, number>> {
  const { size, tokenOffsets, objectOffsets } = batch;
  return {
    samples: size,
    offsets: size + 1,
    language: tokenOffsets[size],
    vision: objectOffsets[size],
    maskedTokens: batch.maskedTokenRows.length,
    maskedObjects: batch.maskedObjectRows.length,
    examples: examplesOf(batch),
    exampleOffsets: examplesOf(batch) + 1,
    targets: batch.targetIds?.length ?? 0,
  };
}

/** Makes a batch from the inputs and some of the labels. For the labels that are not given there is nothing to predict. */
export function batchOf(given: BatchInputs & Partial<Batch>): Batch {
  const none = new Int32Array(0);
  const masked = { maskedTokenRows: none, maskedObjectRows: none, ...given };
  const counts = rowCountsOf({ ...masked, size: given.sampleIds.length });
  const labels = recordOf(fieldNames, (name) => {
    const { rows, type, without = 0, features, only } = fieldOf(name);
    if (only !== undefined) return undefined;
    if (features !== undefined) return features === 'device' ? undefined : new Float32Array(0);
    const values = type === 'f32' ? new Float32Array(counts[rows]) : new Int32Array(counts[rows]);
    return values.fill(without);
  });
  return { ...(labels as BatchArrays), size: given.sampleIds.length, firstSample: 0, ...masked };
}

/** The arrays of a batch. */
export function arraysOf(batch: Partial<BatchArrays>): (Int32Array | Float32Array)[] {
  return fieldNames.flatMap((name) => batch[name] ?? []);
}

/** A new batch that contains only example `e` of a batch, with all samples of this example. */
export function oneSample(batch: Batch, e: number): Batch {
  const { pictures = 1 } = batch;
  const counts = rowCountsOf(batch);
  const [s, end] = [e * pictures, (e + 1) * pictures];
  const tokens = [batch.tokenOffsets[s], batch.tokenOffsets[end]] as const;
  const objects = [batch.objectOffsets[s], batch.objectOffsets[end]] as const;
  const { targetOffsets } = batch;
  const targets = targetOffsets ? ([targetOffsets[e], targetOffsets[e + 1]] as const) : ([0, 0] as const);
  const ranges = {
    samples: [s, end],
    examples: [e, e + 1],
    targets,
    language: tokens,
    vision: objects,
    maskedTokens: within(batch.maskedTokenRows, tokens),
    maskedObjects: within(batch.maskedObjectRows, objects),
  } as const;
  const first = { language: tokens[0], vision: objects[0] };
  const arrays = recordOf(fieldNames, (name) => {
    const { rows, pointsTo } = fieldOf(name);
    const values = batch[name];
    if (values === undefined || rows === 'offsets' || rows === 'exampleOffsets') return undefined;
    const width = counts[rows] === 0 ? 0 : values.length / counts[rows];
    const own = values.slice(ranges[rows][0] * width, ranges[rows][1] * width);
    return pointsTo === undefined ? own : own.map((row) => row - first[pointsTo]);
  });
  return {
    ...(arrays as BatchArrays),
    tokenOffsets: batch.tokenOffsets.slice(s, end + 1).map((offset) => offset - tokens[0]),
    objectOffsets: batch.objectOffsets.slice(s, end + 1).map((offset) => offset - objects[0]),
    targetOffsets: targetOffsets && Int32Array.of(0, targets[1] - targets[0]),
    size: pictures,
    pictures: batch.pictures,
    firstSample: batch.firstSample + s,
    sampleIds: batch.sampleIds.slice(s, end),
  };
}

/** The name of the sample to which row `row` of the kind `rows` belongs. */
export function sampleOfRow(batch: Batch, rows: FieldRows, row: number): string {
  const ownerOf = (offsets: Int32Array, at: number) => offsets.findLastIndex((offset) => offset <= at);
  const { pictures = 1, targetOffsets = Int32Array.of(0) } = batch;
  const owners: Readonly<Record<FieldRows, () => number>> = {
    samples: () => row,
    offsets: () => row,
    language: () => ownerOf(batch.tokenOffsets, row),
    vision: () => ownerOf(batch.objectOffsets, row),
    maskedTokens: () => ownerOf(batch.tokenOffsets, batch.maskedTokenRows[row]),
    maskedObjects: () => ownerOf(batch.objectOffsets, batch.maskedObjectRows[row]),
    examples: () => row * pictures,
    exampleOffsets: () => row * pictures,
    targets: () => ownerOf(targetOffsets, row) * pictures,
  };
  return batch.sampleIds[owners[rows]()] ?? `row ${row}`;
}

/** The positions [begin, end) of the values of `rows` that lie in [from, to). `rows` is ascending. */
function within(rows: Int32Array, [from, to]: readonly [number, number]): readonly [number, number] {
  const at = (limit: number) => {
    const first = rows.findIndex((row) => row >= limit);
    return first < 0 ? rows.length : first;
  };
  return [at(from), at(to)];
}
