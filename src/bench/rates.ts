import { allRows, bytesOf, fill, type Engine, type OpArgument, type OpName, type Tensor } from '../engine/index.js';
import { fillWithNoise, noiseWidth } from './kernel.js';
import { timeCalls } from './timing.js';

/** Rates of this machine, measured with the engine. The benchmark compares times with them. */
export interface Rates {
  /** Matrix products in the engine's precision, GFLOP/s. */
  readonly sgemmGflops: number;
  /** Copies in memory, bytes read plus bytes written, GB/s. */
  readonly copyGigabytesPerSecond: number;
}

/** Width and output width of large products. */
const products = [
  [1536, 1536],
  [768, 3072],
  [3072, 768],
] as const;
/** Bytes that the parameter arena must have, so that products can read their weights from it. */
export const productWeightBytes = 4 * Math.max(...products.map(([width, out]) => width * out));

/**
 * The number of rows begins at `fewest` and is doubled until a call takes `longEnough` milliseconds, or until there are
 * `most` rows. On CUDA, `most` rows are more than fit into a GPU's cache.
 */
const sizes = {
  cpu: { product: { fewest: 192, most: 1536, longEnough: 20 }, copy: { fewest: 16384, most: 16384, longEnough: 0 } },
  cuda: {
    product: { fewest: 192, most: 24576, longEnough: 20 },
    copy: { fewest: 16384, most: 2 ** 18, longEnough: 20 },
  },
} as const;
const copyWidth = 1024;
/** How many times each size is measured in one call of `measure`. */
const takes = 2;

/**
 * Measures an engine's rates with the engine's own ops: products with `linearForward`, copies with `gatherRowsForward`
 * of all rows in order. Measurements are possible between other work. They use the engine's workspace, so no other
 * tensor may be in it during a measurement. The best measurement counts.
 */
export class RateMeter {
  /** Bytes by which the measurements enlarged the workspace. */
  grownBytes = 0;
  #sgemmGflops = 0;
  #copyGigabytesPerSecond = 0;
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get best(): Rates {
    return { sgemmGflops: this.#sgemmGflops, copyGigabytesPerSecond: this.#copyGigabytesPerSecond };
  }

  async measure(): Promise<void> {
    const { product, copy } = sizes[this.#engine.device];
    for (const [width, out] of products)
      for (let rows = product.fewest, ms = 0; rows <= product.most && ms < product.longEnough; rows *= 2) {
        ms = await this.#product(rows, width, out);
        this.#sgemmGflops = Math.max(this.#sgemmGflops, (2 * rows * width * out) / ms / 1e6);
      }
    for (let rows = copy.fewest, ms = -1; rows <= copy.most && ms < copy.longEnough; rows *= 2)
      ms = await this.#copy(rows);
  }

  /**
   * Milliseconds of `linearForward`. The weights are in the parameter arena, if it is large enough, because the rounded
   * copy for bfloat16 exists only for that arena.
   */
  async #product(rows: number, width: number, out: number): Promise<number> {
    const engine = this.#engine;
    this.#makeRoom(4 * (rows * (width + out + noiseWidth) + (out + noiseWidth) * width));
    const [x, y] = this.#tensors([rows, width], [rows, out]);
    const held = engine.memory().parameters >= 4 * out * width;
    const weight = held ? engine.tensor('parameters', 0, [out, width]) : this.#workspaceFloats(out, width);
    if (!held) fill(engine, weight, 0.1);
    // Equal values would make a GPU look faster than it is.
    fillWithNoise(engine, x, 0);
    return this.#fastest('linearForward', [allRows(rows), width, out, x, weight, null, y]);
  }

  /** Milliseconds of a copy of `rows` rows. Updates the best copy rate. */
  async #copy(rows: number): Promise<number> {
    const engine = this.#engine;
    this.#makeRoom(4 * (2 * copyWidth + 1) * rows);
    const [from, to] = this.#tensors([rows, copyWidth], [rows, copyWidth]);
    fill(engine, from, 1);
    const indices = engine.workspace.allocate([rows], 'i32', 'bottom');
    await engine.upload(
      indices,
      Int32Array.from({ length: rows }, (_, i) => i),
    );
    const ms = await this.#fastest('gatherRowsForward', [allRows(rows), copyWidth, rows, indices, from, to]);
    this.#copyGigabytesPerSecond = Math.max(this.#copyGigabytesPerSecond, (bytesOf(from) + bytesOf(to)) / ms / 1e6);
    return ms;
  }

  #makeRoom(bytes: number): void {
    const engine = this.#engine;
    const before = engine.memory().workspace;
    const needed = bytes + 8192; // each tensor begins at a multiple of 64
    if (before >= needed) return;
    engine.reserve('workspace', needed);
    this.grownBytes += needed - before;
  }

  #tensors(...shapes: readonly (readonly number[])[]): Tensor[] {
    const engine = this.#engine;
    engine.resetWorkspace();
    return shapes.map((shape) => engine.workspace.allocate(shape, engine.activationDType, 'bottom'));
  }

  #workspaceFloats(...shape: number[]): Tensor {
    return this.#engine.workspace.allocate(shape, 'f32', 'bottom');
  }

  async #fastest(op: OpName, args: readonly OpArgument[]): Promise<number> {
    return Math.min(...(await timeCalls(this.#engine, op, args, takes)));
  }
}
