/** A matrix of float64 values, row by row. Functions on matrices change none of their arguments. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

export const zeros = (rows: number, columns: number): Matrix => ({
  rows,
  columns,
  values: new Float64Array(rows * columns),
});

export function identity(size: number): Matrix {
  const matrix = zeros(size, size);
  for (let i = 0; i < size; i++) matrix.values[i * size + i] = 1;
  return matrix;
}

export function add(a: Matrix, b: Matrix): Matrix {
  const sum = zeros(a.rows, a.columns);
  for (let i = 0; i < sum.values.length; i++) sum.values[i] = a.values[i] + b.values[i];
  return sum;
}

/** A B */
export function multiply(a: Matrix, b: Matrix): Matrix {
  const product = zeros(a.rows, b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) addRow(product, i, a.values[i * a.columns + k], b, k);
  return product;
}

/** Aᵀ B */
export function multiplyTransposed(a: Matrix, b: Matrix): Matrix {
  const product = zeros(a.columns, b.columns);
  for (let k = 0; k < a.rows; k++)
    for (let i = 0; i < a.columns; i++) addRow(product, i, a.values[k * a.columns + i], b, k);
  return product;
}

/**
 * Adds `factor` times a row of `from` to row `i`. A factor of 0 is common in relevancy matrices, so it returns at once.
 */
function addRow(to: Matrix, i: number, factor: number, from: Matrix, row: number): void {
  if (factor === 0) return;
  const { columns, values } = to;
  const at = i * columns;
  const start = row * columns;
  for (let j = 0; j < columns; j++) values[at + j] += factor * from.values[start + j];
}

/** Each row divided by its sum. A row whose sum is 0 stays 0. */
export function rowsToShares({ rows, columns, values }: Matrix): Matrix {
  const shares = zeros(rows, columns);
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += values[i * columns + j];
    if (sum !== 0) for (let j = 0; j < columns; j++) shares.values[i * columns + j] = values[i * columns + j] / sum;
  }
  return shares;
}

/** The first row, which is the row of [CLS]. */
export const firstRow = ({ columns, values }: Matrix): Float64Array => values.slice(0, columns);
