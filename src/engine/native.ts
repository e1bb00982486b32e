/** The addon's own functions (native/binding/addon.cc). Only this room calls them; `Engine` is what others use. */
export interface NativeAddon {
  /** Names of the op table; an op's number is its place. */
  readonly opNames: readonly string[];
  createEngine(threads: number): NativeEngine;
  reserve(engine: NativeEngine, arena: number, bytes: number): void;
  enqueue(engine: NativeEngine, op: number, args: Float64Array, count: number): void;
  upload(engine: NativeEngine, arena: number, offset: number, source: NodeJS.TypedArray): Promise<void>;
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
  | 'softmaxCrossEntropyForward'
  | 'softmaxCrossEntropyBackward'
  | 'smoothL1Forward'
  | 'smoothL1Backward'
  | 'gradNorm'
  | 'adamUpdate'
  | 'fill'
  | 'fillNormal';
