import { LxmertError, type ErrorCode } from '../errors.js';

/** The functions of the addon (native/binding/addon.cc). Only src/engine calls them; others use `Engine`. */
export interface NativeAddon {
  /** Names of the op table; an op's number is its place in this list. */
  readonly opNames: readonly string[];
  /** Opens the CPU, or the device of a plugin's file. `precision` is float32 or bfloat16, `gpu` the number of the device. */
  createEngine(
    threads: number,
    precision?: string,
    plugin?: string,
    gpu?: number,
    freeMultiprocessors?: number,
  ): NativeEngine;
  /** The type in which the device stores activations. */
  activationsOf(engine: NativeEngine): 'f32' | 'bf16';
  /**
   * Describes the plugin's device. If it cannot be used, throws an error with the code NO_DEVICE that says what is
   * missing.
   */
  describePlugin(plugin: string): string;
  /**
   * Describes the library for communication among several devices. If it cannot be used, throws an error with the code
   * NO_DEVICE that says what is missing.
   */
  describeNccl(plugin: string): string;
  reserve(engine: NativeEngine, arena: number, bytes: number): void;
  enqueue(engine: NativeEngine, op: number, args: Float64Array, count: number): void;
  /** Sends later work to lane 1 or 2, which run at the same time; 0 ends both lanes. */
  enterLane(engine: NativeEngine, lane: number): void;
  /**
   * Binds calls and returns the number of the recording. Each call consists of its op (-1: enterLane, -2: share), the count of its
   * arguments, and the arguments.
   */
  record(engine: NativeEngine, calls: Float64Array, count: number): number;
  /** Returns a note about an earlier replay, once, or ''. */
  replay(engine: NativeEngine, recording: number): string;
  /** Returns the note about an earlier replay, once, or ''; without a replay. */
  takeNote(engine: NativeEngine): string;
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
  /** Calls and seconds of each op, two numbers for each. */
  readProfile(engine: NativeEngine, target: Float64Array): Promise<Float64Array>;
  dispose(engine: NativeEngine): Promise<void>;
  /** Reads numbers from files; see src/io/readRows.ts. It needs no engine. */
  readRows(plan: Float64Array, count: number, targets: readonly NodeJS.TypedArray[]): Promise<number>;
  /** Decodes base64 of float32 numbers; see src/io/decodeFeatures.ts. It needs no engine. */
  decodeFeatures(text: Uint8Array, from: number, to: number, target: Float32Array | Uint16Array): boolean;
  /** Gives the engine the communicator for its calls of `share`. */
  joinRanks(engine: NativeEngine, communicator: NativeCommunicator): void;
  /** The id of a group of ranks whose devices are connected; one rank makes it, and all use it. */
  makeRankId(plugin: string): string;
  /** Connects the device to those of the other ranks. `alongTree`: sums are made along the tree of the parts. */
  joinRanksOfDevice(
    engine: NativeEngine,
    communicator: NativeCommunicator,
    id: string,
    parts: number,
    alongTree: boolean,
  ): Promise<void>;
  /** Enqueues a call of Engine::Share: its kind, then its arguments. */
  share(engine: NativeEngine, args: Float64Array, count: number): void;
  /** Listens on a free port. `token`: 16 hexadecimal digits, the same on all ranks. */
  listenToRanks(
    rank: number,
    ranks: number,
    token: string,
  ): { readonly communicator: NativeCommunicator; readonly port: number };
  connectRanks(
    communicator: NativeCommunicator,
    rank: number,
    ranks: number,
    hosts: readonly string[],
    ports: readonly number[],
  ): Promise<void>;
  openMpi(
    library: string,
  ): Promise<{ readonly communicator: NativeCommunicator; readonly rank: number; readonly ranks: number }>;
  /** Returns the text of rank 0. Works only over MPI. */
  shareText(communicator: NativeCommunicator, text: string): Promise<string>;
  setParts(communicator: NativeCommunicator, parts: number): void;
  abortRanks(communicator: NativeCommunicator): void;
  closeRanks(communicator: NativeCommunicator): Promise<void>;
  rankTimes(communicator: NativeCommunicator): CommunicationTimes;
}

/** Seconds and bytes since the start. */
export interface CommunicationTimes {
  /** Seconds in which gradients were sent, received and added. */
  readonly moving: number;
  /** The part of these seconds in which the engine had no other work. */
  readonly waiting: number;
  /** Bytes sent. */
  readonly bytes: number;
}

declare const nativeCommunicator: unique symbol;
/** An opaque handle, which the native side checks. */
export interface NativeCommunicator {
  readonly [nativeCommunicator]: true;
}

declare const nativeEngine: unique symbol;
/** An opaque handle, which the native side checks. */
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
  | 'attentionMapGradient'
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
  | 'fillNormal'
  | 'packWeight';

/** Turns a native error into an LxmertError with the same code. */
function asLxmertError(error: unknown): unknown {
  const { code, message } = error as { code?: string; message?: string };
  return code ? new LxmertError(code as ErrorCode, message ?? code, { cause: error }) : error;
}

/** Makes a native call and translates its error. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asLxmertError(error);
  }
}

/** Waits for a native promise and translates its error. */
export async function settled<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw asLxmertError(error);
  }
}
