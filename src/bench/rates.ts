import {
  allRows,
  bytesOf,
  fill,
  fillNormal,
  type Engine,
  type OpArgument,
  type OpName,
  type Tensor,
} from '../engine/index.js';

/** What this machine can do, as the engine meets it: the floors beside which times are put. */
export interface Rates {
  /** Float32 matrix products, GFLOP/s. */
  readonly sgemmGflops: number;
  /** Memory to memory, bytes read and bytes written together, GB/s. */
  readonly copyGigabytesPerSecond: number;
}

/** Large products: rows, width, out. */
const products = [
  [1536, 1536, 1536],
  [1536, 768, 3072],
  [1536, 3072, 768],
] as const;
const copyWidth = 1024;
const copyRows = 16384;
/** Takes of each, after one that does not count. */
const takes = 2;

/** Workspace that the measuring needs. */
const needed =
  Math.max(
    ...products.map(([rows, width, out]) => (rows * width + out * width + rows * out) * 4),
    (2 * copyWidth + 1) * copyRows * 4,
  ) + 4096;

/** Milliseconds that one call of an op takes, on the engine's own clock. */
export async function timeOp(engine: Engine, op: OpName, args: readonly OpArgument[]): Promise<number> {
  engine.profile(true);
  engine.run(op, args);
  const [{ milliseconds }] = await engine.readProfile();
  engine.profile(false);
  return milliseconds;
}

/**
 * Measures an engine's rates with its own ops, between other work and in its workspace, which must be free: products by
 * `linearForward`, copies by `gatherRowsForward` of all rows in order. The best of all takes counts.
 */
export class RateMeter {
  /** Bytes by which the workspace had to grow for this. */
  grownBytes = 0;
  private sgemmGflops = 0;
  private copyGigabytesPerSecond = 0;

  constructor(private readonly engine: Engine) {}

  get best(): Rates {
    const { sgemmGflops, copyGigabytesPerSecond } = this;
    return { sgemmGflops, copyGigabytesPerSecond };
  }

  async measure(): Promise<void> {
    const { engine } = this;
    const before = engine.memory().workspace;
    if (before < needed) {
      engine.reserve('workspace', needed);
      this.grownBytes += needed - before;
    }
    for (const [rows, width, out] of products) {
      const [x, weight, y] = this.tensors([rows, width], [out, width], [rows, out]);
      for (const operand of [x, weight]) fillNormal(engine, operand, { deviation: 1, seed: 0, stream: 0 });
      const fastest = await this.fastest('linearForward', [allRows(rows), width, out, x, weight, null, y]);
      this.sgemmGflops = Math.max(this.sgemmGflops, (2 * rows * width * out) / fastest / 1e6);
    }
    const [from, to] = this.tensors([copyRows, copyWidth], [copyRows, copyWidth]);
    fill(engine, from, 1);
    const indices = engine.workspace.allocate([copyRows], 'i32', 'bottom');
    await engine.upload(
      indices,
      Int32Array.from({ length: copyRows }, (_, i) => i),
    );
    const fastest = await this.fastest('gatherRowsForward', [
      allRows(copyRows),
      copyWidth,
      copyRows,
      indices,
      from,
      to,
    ]);
    this.copyGigabytesPerSecond = Math.max(this.copyGigabytesPerSecond, (bytesOf(from) + bytesOf(to)) / fastest / 1e6);
  }

  private tensors(...shapes: readonly (readonly number[])[]): Tensor[] {
    const { engine } = this;
    engine.resetWorkspace();
    const tensors = shapes.map((shape) => engine.workspace.allocate(shape, 'f32', 'bottom'));
    return tensors;
  }

  private async fastest(op: OpName, args: readonly OpArgument[]): Promise<number> {
    await timeOp(this.engine, op, args);
    let fastest = Infinity;
    for (let i = 0; i < takes; i++) fastest = Math.min(fastest, await timeOp(this.engine, op, args));
    return fastest;
  }
}
