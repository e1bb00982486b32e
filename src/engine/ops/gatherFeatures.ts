import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type DType, type Tensor } from '../tensor.js';

/** Features that are given as numbers of rows in a table. The table stays on the device. */
export interface FeatureRows {
  /** [any, width] f16 */
  readonly table: Tensor;
  /** [rows] i32. An index outside the table gives zeros. */
  readonly indices: Tensor;
}

/**
 * Features [rows, width] in the form that an op reads: the tensor itself, or rows copied from the table and converted
 * to `dtype`. They have no gradient.
 */
export function featuresOf(
  tape: Tape,
  rows: Rows,
  features: Tensor | FeatureRows,
  dtype: DType = tape.engine.activationDType,
): Tensor {
  if (!('table' in features)) return features;
  const { table, indices } = features;
  const [tableRows, width] = table.shape;
  checkShape('gatherFeatures', 'table', table, [1, width], 'f16');
  checkShape('gatherFeatures', 'indices', indices, [rows.capacity], 'i32');
  const to = tape.data([rows.capacity, width], dtype);
  tape.engine.run('gatherFeatures', [rows, width, tableRows, indices, table, to]);
  tape.record([to], null);
  return to;
}
