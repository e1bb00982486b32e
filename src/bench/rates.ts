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
  /** Matrix products in the engine's precision, GFLOP/s. */
  readonly sgemmGflops: number;
  /** Memory to memory, bytes read and bytes written together, GB/s. */
  readonly copyGigabytesPerSecond: number;
}

/** Large products: width and out. Rows are doubled until a product takes long enough to time, or there are many. */
const products = [
  [1536, 1536],
  [768, 3072],
  [3072, 768],
] as const;
const fewestRows = 192;
const mostRows = { cpu: 1536, cuda: 24576 } as const;
const longEnough = 20;
const noiseWidth = 64;
const copyWidth = 1024;
const copyRows = 16384;
/** Takes of each, after one that does not count. */
const takes = 2;

/** Workspace that the measuring needs. */
const needed = (most: number): number =>
  Math.max(
    ...products.map(([width, out]) => (most * (width + out + noiseWidth) + (out + noiseWidth) * width) * 4),
    (2 * copyWidth + 1) * copyRows * 4,
  ) + 8192;

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
    const most = mostRows[engine.device];
    const before = engine.memory().workspace;
    if (before < needed(most)) {
      engine.reserve('workspace', needed(most));
      this.grownBytes += needed(most) - before;
    }
    for (const [width, out] of products)
      for (let rows = fewestRows, milliseconds = 0; rows <= most && milliseconds < longEnough; rows *= 2) {
        milliseconds = await this.product(rows, width, out);
        this.sgemmGflops = Math.max(this.sgemmGflops, (2 * rows * width * out) / milliseconds / 1e6);
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

  /** Milliseconds of `linearForward`; its weights lie where products have their copy in the precision, if that has room. */
  private async product(rows: number, width: number, out: number): Promise<number> {
    const { engine } = this;
    const [x, y] = this.tensors([rows, width], [rows, out]);
    const normal = (...shape: number[]): Tensor => {
      const tensor = engine.workspace.allocate(shape, 'f32', 'bottom');
      fillNormal(engine, tensor, { deviation: 1, seed: 0, stream: 0 });
      return tensor;
    };
    const held = engine.memory().parameters >= 4 * out * width;
    const weight = (...shape: number[]): Tensor => (held ? engine.tensor('parameters', 0, shape) : normal(...shape));
    // Activations get no normal values by themselves, and equal ones would flatter a GPU.
    const noise = normal(rows, noiseWidth);
    engine.run('linearForward', [allRows(rows), noiseWidth, width, noise, weight(width, noiseWidth), null, x]);
    return this.fastest('linearForward', [allRows(rows), width, out, x, weight(out, width), null, y]);
  }

  private tensors(...shapes: readonly (readonly number[])[]): Tensor[] {
    const { engine } = this;
    engine.resetWorkspace();
    return shapes.map((shape) => engine.workspace.allocate(shape, engine.activationDType, 'bottom'));
  }

  private async fastest(op: OpName, args: readonly OpArgument[]): Promise<number> {
    await timeOp(this.engine, op, args);
    let fastest = Infinity;
    for (let i = 0; i < takes; i++) fastest = Math.min(fastest, await timeOp(this.engine, op, args));
    return fastest;
  }
}
