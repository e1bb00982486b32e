import { LxmertError } from '../errors.js';

/** The kinds of values that are compared. Relative errors are computed within a kind. */
export const kinds = ['outputs', 'attention maps', 'losses', 'gradients', 'trajectory'] as const;
/** The kinds of a fixture of explanations. Its gradients are those of the attention maps. */
export const explanationKinds = ['outputs', 'attention maps', 'gradients', 'relevancy', 'scores'] as const;
export type Kind = (typeof kinds)[number] | (typeof explanationKinds)[number];

export interface Comparison {
  readonly kind: Kind;
  readonly name: string;
  /** ‖ours − theirs‖ and ‖theirs‖. */
  readonly difference: number;
  readonly norm: number;
}

export interface KindReport {
  readonly kind: Kind;
  /** The number of compared values; 0 if the fixture has none. */
  readonly compared: number;
  /** The largest ‖ours − theirs‖ / max(‖theirs‖, floor × the largest norm of the kind), and its name. */
  readonly worst: number;
  readonly name: string | null;
}

/** Differences over real rows only: row i of `ours` corresponds to row `rows[i]` of `theirs`. */
export function compareRows(
  kind: Kind,
  name: string,
  ours: Float32Array,
  theirs: Float32Array,
  rows: Int32Array | null,
  width: number,
): Comparison {
  const n = rows ? rows.length : theirs.length / width;
  if (ours.length < n * width)
    throw new LxmertError('BAD_DATA', `${name}: ours has ${ours.length} values, the fixture ${n * width}`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < n; i++) {
    const row = rows ? rows[i] : i;
    for (let c = 0; c < width; c++) {
      const d = ours[i * width + c] - theirs[row * width + c];
      difference += d * d;
      norm += theirs[row * width + c] ** 2;
    }
  }
  return { kind, name, difference: Math.sqrt(difference), norm: Math.sqrt(norm) };
}

/**
 * The largest error of each kind. NaN counts as an infinite error.
 *
 * @param floor a norm that is smaller than this share of the largest norm of the kind is replaced by this share of the
 *   largest norm. This is needed, for example, for the bias of a key: its gradient is 0 except for rounding, because
 *   softmax does not change if the same number is added to all its arguments
 */
export function worstOf(
  comparisons: readonly Comparison[],
  floor = 1e-4,
  among: readonly Kind[] = kinds,
): KindReport[] {
  return among.map((kind) => {
    const own = comparisons.filter((comparison) => comparison.kind === kind);
    const largest = Math.max(0, ...own.map(({ norm }) => norm));
    let worst = 0;
    let name: string | null = null;
    for (const { name: candidate, difference, norm } of own) {
      const size = Math.max(norm, floor * largest);
      const error = Number.isNaN(difference) ? Infinity : difference === 0 ? 0 : difference / size;
      if (name === null || error > worst) [worst, name] = [error, candidate];
    }
    return { kind, compared: own.length, worst, name };
  });
}
