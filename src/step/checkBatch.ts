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

/** What a device takes. */
export interface BatchLimits {
  /** Most tokens or objects of a sample that the device's attention takes. */
  readonly mostRows?: number;
  /** Rows of the table of features on the device. */
  readonly tableRows?: number;
}

/**
 * Refuses a batch that the model cannot take, and names the sample.
 * @throws LxmertError BAD_DATA
 */
export function checkBatch(
  batch: Batch,
  config: ModelConfig,
  { mostRows = maxAttentionLength, tableRows = 0 }: BatchLimits = {},
): void {
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
  }
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
        'which the model was made for',
    );
}

const bad = (message: string): LxmertError => new LxmertError('BAD_DATA', message);
