import { LxmertError, type ErrorCode } from '../errors.js';

/** The addon's own functions (native/binding/addon.cc). Only this room calls them; `Engine` is what others use. */
export interface NativeAddon {
  /** Names of the op table; an op's number is its place. */
  readonly opNames: readonly string[];
  /** The CPU, or the device behind a plugin's file; `precision` is float32 or bfloat16. */
  createEngine(threads: number, precision?: string, plugin?: string): NativeEngine;
  /** What activations may be kept in: f32, or bf16, too. */
  activationsOf(engine: NativeEngine): 'f32' | 'bf16';
  /** The plugin's device in words; an error with code NO_DEVICE says what is missing. */
  describePlugin(plugin: string): string;
  /** What the plugin's devices would talk to each other by; NO_DEVICE, likewise. */
  describeNccl(plugin: string): string;
  reserve(engine: NativeEngine, arena: number, bytes: number): void;
  enqueue(engine: NativeEngine, op: number, args: Float64Array, count: number): void;
  /** What is enqueued next goes to lane 1 or 2, which run side by side, or, with 0, behind both. */
  enterLane(engine: NativeEngine, lane: number): void;
  /** Binds calls: each its op (-1: enterLane), the count of its arguments, and these. The number of the recording. */
  record(engine: NativeEngine, calls: Float64Array, count: number): number;
  /** What there is to tell of replays before, or ''. */
  replay(engine: NativeEngine, recording: number): string;
  forget(engine: NativeEngine, recording: number): void;
  hostMemory(engine: NativeEngine, bytes: number): ArrayBuffer;
  upload(
    engine: NativeEngine,
    arena: number,
    offset: number,
    source: NodeJS.TypedArray,
    ahead?: boolean,
  ): Promise<void>;
  read<T extends NodeJS.TypedArray>(engine: NativeEngine, arena: number, offset: number, target: T): Promise<T>;
  synchronize(engine: NativeEngine): Promise<void>;
  profile(engine: NativeEngine, on: boolean): void;
  /** Calls and seconds of each op, two numbers an op. */
  readProfile(engine: NativeEngine, target: Float64Array): Promise<Float64Array>;
  dispose(engine: NativeEngine): Promise<void>;
}

declare const nativeEngine: unique symbol;
/** An opaque handle; the native side checks its tag. */
export interface NativeEngine {
  readonly [nativeEngine]: true;
}

/** Ops of the table (native/engine/op_table.h). */
export type OpName =
  | 'linearForward'
  | 'linearBackwardInput'
  | 'linearBackwardWeight'
  | 'geluForward'
  | 'geluBackward'
  | 'tanhForward'
  | 'tanhBackward'
  | 'attentionForward'
  | 'attentionBackward'
  | 'layerNormForward'
  | 'layerNormBackward'
  | 'tokenEmbeddingForward'
  | 'tokenEmbeddingBackward'
  | 'objectEmbeddingForward'
  | 'objectEmbeddingBackward'
  | 'gatherRowsForward'
  | 'gatherRowsBackward'
  | 'gatherFeatures'
  | 'softmaxCrossEntropyForward'
  | 'softmaxCrossEntropyBackward'
  | 'sigmoidCrossEntropyForward'
  | 'sigmoidCrossEntropyBackward'
  | 'smoothL1Forward'
  | 'smoothL1Backward'
  | 'gradNorm'
  | 'adamUpdate'
  | 'fill'
  | 'fillNormal';

/** A native error as ours; its code says which. */
function asLxmertError(error: unknown): unknown {
  const { code, message } = error as { code?: string; message?: string };
  return code ? new LxmertError(code as ErrorCode, message ?? code, { cause: error }) : error;
}

/** Makes a native call; what it throws becomes ours. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asLxmertError(error);
  }
}

/** Waits for a native promise, likewise. */
export async function settled<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw asLxmertError(error);
  }
}
