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

/** A float32 operand with more elements is filled with one value. */
const largest = 2 ** 22;
/** The number of random numbers that are summed for each value of `fillWithNoise`. */
export const noiseWidth = 64;
const alignment = 64;

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** One op on one shape. */
export interface Kernel {
  readonly op: OpName;
  /** The shape as text: the kind of rows, and their width. */
  readonly shape: string;
  /** Allocates the arguments, in the order of the op's struct in native/engine/ops. */
  readonly args: (space: KernelSpace) => readonly OpArgument[];
}

/** Allocates operands in an engine's workspace, and weights in its parameter arena. */
export class KernelSpace {
  /** Bytes of the parameter arena in use. */
  parameterBytes = 0;
  #streams = 0;

  constructor(
    readonly engine: Engine,
    readonly batch: StagedBatch,
    /** `chunkList()` on the device: [n, 2] */
    readonly chunks: Tensor,
  ) {}

  /** Normal values. A large tensor gets one value, because drawing normal ones would take longer than the kernel. */
  floats(...shape: number[]): Tensor {
    return this.#filled(this.engine.workspace.allocate(shape, 'f32', 'bottom'));
  }

  /**
   * Weights for products. They are in the parameter arena, because the engine keeps a copy of this arena in its
   * precision.
   */
  weights(...shape: number[]): Tensor {
    const tensor = this.engine.tensor('parameters', this.parameterBytes, shape);
    this.parameterBytes += Math.ceil(bytesOf(tensor) / alignment) * alignment;
    return this.#filled(tensor);
  }

  /**
   * Activations [rows, width], in the engine's type. Values differ, because equal values make a GPU look faster than it
   * is.
   */
  values(rows: number, width: number): Tensor {
    const { engine } = this;
    if (engine.activationDType === 'f32') return this.floats(rows, width);
    const tensor = engine.workspace.allocate([rows, width], engine.activationDType, 'bottom');
    fillWithNoise(engine, tensor, this.#streams++);
    return tensor;
  }

  /** float16 numbers. They are not initialized, because the time of a kernel does not depend on their values. */
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

  #filled(tensor: Tensor): Tensor {
    if (sizeOf(tensor.shape) > largest) fill(this.engine, tensor, 0.1);
    else fillNormal(this.engine, tensor, { deviation: 1, seed: 0, stream: this.#streams++ });
    return tensor;
  }
}

/**
 * Fills activations [rows, width] of any type with values around 0 of deviation 1. It uses a product, because
 * `fillNormal` takes float32 only.
 */
export function fillWithNoise(engine: Engine, tensor: Tensor, stream: number): void {
  const [rows, width] = tensor.shape;
  const [noise, mixture] = [rows, width].map((n) => engine.workspace.allocate([n, noiseWidth], 'f32', 'top'));
  fillNormal(engine, noise, { deviation: 1, seed: 0, stream });
  fillNormal(engine, mixture, { deviation: 1 / Math.sqrt(noiseWidth), seed: 1, stream });
  engine.run('linearForward', [allRows(rows), noiseWidth, width, noise, mixture, null, tensor]);
  for (const used of [noise, mixture]) engine.workspace.release(used);
}

export type RowsName = 'samples' | 'language' | 'vision' | 'stacked' | 'maskedTokens' | 'maskedObjects';

/** Epsilon of layer norms, and the probability of dropout. */
export const epsilon = 1e-12;
export const p = 0.1;
