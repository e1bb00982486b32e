import type { ModelConfig } from '../config/modelConfig.js';
import {
  fieldNames,
  fieldOf,
  formOf,
  isThere,
  rowCountsOf,
  sampleOfRow,
  type Batch,
  type FieldName,
  type RangeLimits,
} from '../data/batches/batch.js';
import { maxAttentionLength } from '../engine/index.js';
import { LxmertError } from '../errors.js';

/** Limits of a device. */
export interface BatchLimits {
  /** Most tokens or objects of one sample in the device's attention. */
  readonly mostRows?: number | undefined;
  /** Rows of the table of features on the device. */
  readonly tableRows?: number | undefined;
}

/**
 * Refuses a batch that the model or the device cannot compute, and names the sample.
 * @throws LxmertError BAD_DATA
 */
export function checkBatch(
  batch: Batch,
  config: ModelConfig,
  { mostRows = maxAttentionLength, tableRows = 0 }: BatchLimits = {},
): void {
  checkShape(batch);
  const longest = { token: Math.min(mostRows, config.maxPositionEmbeddings), object: mostRows };
  for (const kind of ['token', 'object'] as const)
    for (let s = 0; s < batch.size; s++) {
      const offsets = batch[`${kind}Offsets`];
      const n = offsets[s + 1] - offsets[s];
      if (!(n >= 1 && n <= longest[kind]))
        throw bad(`sample ${batch.sampleIds[s]} has ${n} ${kind}s, expected 1 to ${longest[kind]}`);
    }
  const limits: RangeLimits = { ...config, tableRows };
  for (const name of fieldNames) {
    if (!isThere(name, formOf(batch))) continue;
    checkLength(batch, name, config);
    checkRange(batch, name, limits);
    checkPointers(batch, name);
  }
}

/** Row ids are 32-bit words on the device. */
const mostSamples = 2 ** 31;

function checkShape(batch: Batch): void {
  const { size, firstSample } = batch;
  if (!Number.isSafeInteger(size) || size < 1) throw bad(`a batch of ${size} samples; expected a whole number from 1`);
  if (!Number.isSafeInteger(firstSample) || firstSample < 0 || firstSample + size > mostSamples)
    throw bad(`firstSample is ${firstSample}; expected a whole number from 0 to ${mostSamples - size}`);
  for (const name of ['tokenOffsets', 'objectOffsets'] as const)
    if (batch[name][0] !== 0) throw bad(`${name} begins with ${batch[name][0]}; expected 0`);
}

/** Rows to predict must be rows of their stream. */
function checkPointers(batch: Batch, name: FieldName): void {
  const { rows, pointsTo } = fieldOf(name);
  const values = batch[name];
  if (pointsTo === undefined || !values) return;
  const end = rowCountsOf(batch)[pointsTo];
  const at = values.findIndex((row) => !(row >= 0 && row < end));
  if (at >= 0)
    throw bad(`${name}[${at}] is ${values[at]}, which is not one of the ${end} rows of its stream (${rows})`);
}

function checkLength(batch: Batch, name: FieldName, { visualFeatDim }: ModelConfig): void {
  const { rows, width = 1 } = fieldOf(name);
  const count = rowCountsOf(batch)[rows];
  const length = batch[name]?.length ?? 0;
  if (length === count * (width === 'visualFeatDim' ? visualFeatDim : width)) return;
  throw bad(
    width === 'visualFeatDim'
      ? `features of ${length / count} floats an object; the model takes ${visualFeatDim}`
      : `${name} has ${length} values; ${count} rows of ${width} were expected`,
  );
}

function checkRange(batch: Batch, name: FieldName, limits: RangeLimits): void {
  const { rows, range } = fieldOf(name);
  const values = batch[name];
  if (!range || !values) return;
  const limit = limits[range.below];
  const at = values.findIndex((value) => !(value >= range.from && value < limit));
  if (at >= 0)
    throw bad(
      `sample ${sampleOfRow(batch, rows, at)}: ${range.what} ${values[at]} is outside [${range.from}, ${limit}), ` +
        'the range of this model',
    );
}

const bad = (message: string): LxmertError => new LxmertError('BAD_DATA', message);
