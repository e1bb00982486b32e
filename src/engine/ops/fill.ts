import type { Engine } from '../engine.js';
import type { Tensor } from '../tensor.js';

/** Sets every element to `value`. */
export function fill(engine: Engine, tensor: Tensor, value: number): void {
  engine.run('fill', [value, tensor]);
}

export interface NormalOptions {
  /** Standard deviation; the mean is 0. */
  readonly deviation: number;
  /** Keys of the generator, unsigned 32-bit. The same keys give the same values. */
  readonly seed: number;
  readonly stream: number;
}

/** Fills a tensor with independent normal values. */
export function fillNormal(engine: Engine, tensor: Tensor, { deviation, seed, stream }: NormalOptions): void {
  engine.run('fillNormal', [deviation, seed, stream, tensor]);
}
