import {
  allRows,
  bytesOf,
  fill,
  fillNormal,
  type Dropout,
  type Engine,
  type OpArgument,
  type OpName,
  type Tensor,
} from '../engine/index.js';
import type { StagedBatch } from '../step/staging.js';

/** Of operands of float32 that are filled with one value instead of many. */
const largest = 2 ** 22;
/** Numbers that each value of `fillWithNoise` is a sum of. */
export const noiseWidth = 64;
const alignment = 64;

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** One op on one shape. */
export interface Kernel {
  readonly op: OpName;
  /** In words: which rows, how wide. */
  readonly shape: string;
  /** Its arguments, in fresh memory, in the order of its struct in native/engine/ops. */
  readonly args: (space: KernelSpace) => readonly OpArgument[];
}

/** Takes operands from an engine's workspace, and weights from its parameters. */
export class KernelSpace {
  /** Of the parameter arena, so far. */
  parameterBytes = 0;
  private streams = 0;

  constructor(
    readonly engine: Engine,
    readonly batch: StagedBatch,
    /** `chunkList()` on the device: [n, 2] */
    readonly chunks: Tensor,
  ) {}

  /** Normal values; in what is large, one value: normal ones would take longer to make than to work on. */
  floats(...shape: number[]): Tensor {
    return this.filled(this.engine.workspace.allocate(shape, 'f32', 'bottom'));
  }

  /** What products take in the engine's precision: where its copy is kept up. */
  weights(...shape: number[]): Tensor {
    const tensor = this.engine.tensor('parameters', this.parameterBytes, shape);
    this.parameterBytes += Math.ceil(bytesOf(tensor) / alignment) * alignment;
    return this.filled(tensor);
  }

  /** Activations [rows, width], in the type that the engine keeps them in. Equal values would flatter a GPU. */
  values(rows: number, width: number): Tensor {
    const { engine } = this;
    if (engine.activationDType === 'f32') return this.floats(rows, width);
    const tensor = engine.workspace.allocate([rows, width], engine.activationDType, 'bottom');
    fillWithNoise(engine, tensor, this.streams++);
    return tensor;
  }

  /** float16 numbers: whatever is there, which costs the same. */
  halves(...shape: number[]): Tensor {
    return this.engine.workspace.allocate(shape, 'f16', 'bottom');
  }

  zeros(...shape: number[]): Tensor {
    const tensor = this.engine.workspace.allocate(shape, 'f32', 'bottom');
    fill(this.engine, tensor, 0);
    return tensor;
  }

  ints(...shape: number[]): Tensor {
    return this.engine.workspace.allocate(shape, 'i32', 'bottom');
  }

  dropout(p: number, rowIds = this.batch.rowIds): Dropout {
    return { p, instance: 0, rowIds };
  }

  private filled(tensor: Tensor): Tensor {
    if (sizeOf(tensor.shape) > largest) fill(this.engine, tensor, 0.1);
    else fillNormal(this.engine, tensor, { deviation: 1, seed: 0, stream: this.streams++ });
    return tensor;
  }
}

/** Values around 0 with deviation 1 in activations of any type [rows, width], which `fillNormal` does not take: by a product. */
export function fillWithNoise(engine: Engine, tensor: Tensor, stream: number): void {
  const [rows, width] = tensor.shape;
  const [noise, mixture] = [rows, width].map((n) => engine.workspace.allocate([n, noiseWidth], 'f32', 'top'));
  fillNormal(engine, noise, { deviation: 1, seed: 0, stream });
  fillNormal(engine, mixture, { deviation: 1 / Math.sqrt(noiseWidth), seed: 1, stream });
  engine.run('linearForward', [allRows(rows), noiseWidth, width, noise, mixture, null, tensor]);
  for (const used of [noise, mixture]) engine.workspace.release(used);
}

export type RowsName = 'samples' | 'language' | 'vision' | 'stacked' | 'maskedTokens' | 'maskedObjects';

/** Of layer norms, and the probability of dropout. */
export const epsilon = 1e-12;
export const p = 0.1;
