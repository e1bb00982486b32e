import {
  fill,
  fillNormal,
  type Dropout,
  type Engine,
  type OpArgument,
  type OpName,
  type Tensor,
} from '../engine/index.js';
import type { StagedBatch } from '../tasks/staging.js';

/** Of operands that are filled with one value instead of many. */
const largest = 2 ** 22;

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** One op on one shape. */
export interface Kernel {
  readonly op: OpName;
  /** In words: which rows, how wide. */
  readonly shape: string;
  /** Its arguments, in fresh memory of the workspace, in the order of its struct in native/engine/ops. */
  readonly args: (space: KernelSpace) => readonly OpArgument[];
}

/** Takes operands from an engine's workspace. */
export class KernelSpace {
  private streams = 0;

  constructor(
    readonly engine: Engine,
    readonly batch: StagedBatch,
    /** `chunkList()` on the device: [n, 2] */
    readonly chunks: Tensor,
  ) {}

  /** Normal values; in what is large, one value: normal ones would take longer to make than to work on. */
  floats(...shape: number[]): Tensor {
    const tensor = this.engine.workspace.allocate(shape, 'f32', 'bottom');
    if (sizeOf(shape) > largest) fill(this.engine, tensor, 0.1);
    else fillNormal(this.engine, tensor, { deviation: 1, seed: 0, stream: this.streams++ });
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
}

export type RowsName = 'samples' | 'language' | 'vision' | 'stacked' | 'maskedTokens' | 'maskedObjects';

/** Of layer norms, and the probability of dropout. */
export const epsilon = 1e-12;
export const p = 0.1;
