import { LxmertError } from '../errors.js';
import { cudaLibrary, openDevice, type EngineOptions, type OpenedDevice } from './device.js';
import { dryAddon } from './dryRun.js';
import { encodeCall, type OpArgument } from './encodeCall.js';
import { laneChange, Lanes } from './lanes.js';
import { loadAddon } from './load.js';
import { opProfiles, type OpProfile } from './opProfile.js';
import { settled, translated, type NativeAddon, type NativeEngine, type OpName } from './native.js';
import {
  arenaNames,
  bytesOf,
  elements,
  halvesToFloats,
  overlap,
  tensorAt,
  type ArenaName,
  type DType,
  type Tensor,
} from './tensor.js';
import { Workspace } from './workspace.js';
import type { Communicator } from './communicator.js';

/** Recorded op calls. */
export interface Recording {
  readonly number: number;
  /** How many times arenas had been reserved when it was made. */
  readonly reservations: number;
}

/** How an engine joins other ranks. */
export interface JoinOptions {
  readonly parts: number;
  /**
   * Whether sums are made along the tree of the parts, so that any number of ranks gives the same bits. On CUDA NCCL chooses the
   * order of the additions otherwise. On the CPU sums are always made along the tree.
   */
  readonly alongTree: boolean;
  /** Sends this rank's value to all ranks. Returns the values of all ranks, ordered by rank. */
  readonly exchange: (name: string, value: string) => Promise<readonly string[]>;
}

/** A tensor whose values are on one of the ranks. */
export interface OwnedTensor {
  readonly owner: number;
  readonly tensor: Tensor;
}

/**
 * One device with one queue of work. Op calls check their arguments, enqueue and return at once. Only `await read()`
 * and `await synchronize()` wait, and computations never block the event loop.
 *
 * The memory consists of six arenas, whose sizes `reserve` sets. After an op has failed, the engine refuses all work:
 * the next read or synchronize rejects with the error.
 */
export class Engine implements AsyncDisposable {
  readonly device: 'cpu' | 'cuda';
  /** A text that describes the device. If `auto` chose the CPU, it also says why CUDA was not used. */
  readonly description: string;
  /** The type of activations. */
  readonly activationDType: DType;
  /** Called for each op call that is enqueued. It is for benchmarks and tests. */
  observer: ((op: OpName, args: readonly OpArgument[]) => void) | null = null;
  readonly workspace = new Workspace();
  readonly #native: NativeEngine;
  readonly #onNote: (text: string) => void;
  /** Lanes on CUDA, unless the options turn them off. */
  readonly #lanes: Lanes | null;
  readonly #opCodes: ReadonlyMap<string, number>;
  readonly #reserved = new Map<ArenaName, number>();
  readonly #args = new Float64Array(128);
  #planning = false;
  /** The calls that are being recorded, as numbers for the addon; null if nothing is being recorded. */
  #recorded: number[] | null = null;
  #reservations = 0;
  #uploadedAhead: Tensor | null = null;
  #disposed: Promise<void> | null = null;
  readonly #addon: NativeAddon;
  readonly #cudaFile: string | undefined;

  private constructor(
    addon: NativeAddon,
    opened: OpenedDevice,
    { onNote = () => undefined, lanes = true, cudaLibrary: file }: EngineOptions,
  ) {
    this.#addon = addon;
    this.#cudaFile = file;
    this.#native = opened.native;
    this.device = opened.device;
    this.description = opened.description;
    this.activationDType = addon.activationsOf(this.#native);
    this.#lanes = lanes && this.device === 'cuda' ? new Lanes(this.workspace, (lane) => this.#enterLane(lane)) : null;
    this.#onNote = onNote;
    this.#opCodes = new Map(addon.opNames.map((name, code) => [name, code]));
  }

  /** @throws LxmertError NO_DEVICE, ADDON, BAD_ARGUMENT */
  static create(options: EngineOptions = {}): Engine {
    if (!options.dryRun) {
      const addon = loadAddon();
      return new Engine(addon, openDevice(addon, options), options);
    }
    const dry = dryAddon(loadAddon(), options.precision ?? 'float32');
    const device = options.device === 'cpu' ? 'cpu' : 'cuda';
    return new Engine(dry, { ...openDevice(dry, { device: 'cpu' }), device }, options);
  }

  /**
   * Gives an arena new memory of this size, filled with zeros. The contents of the arena are lost, but work enqueued
   * before still uses the old memory.
   */
  reserve(arena: ArenaName, bytes: number): void {
    translated(() => this.#addon.reserve(this.#native, arenaNames.indexOf(arena), bytes));
    this.#reserved.set(arena, bytes);
    this.#reservations++;
    if (this.#uploadedAhead?.arena === arena) this.#uploadedAhead = null;
    if (arena === 'workspace') this.workspace.reset(bytes);
  }

  /** Empties the workspace for the next step. Tensors of the last step become invalid. */
  resetWorkspace(): void {
    this.workspace.reset(this.#reserved.get('workspace') ?? 0);
  }

  /** Bytes of each arena. */
  memory(): Readonly<Record<ArenaName, number>> {
    const bytes = (arena: ArenaName): number => this.#reserved.get(arena) ?? 0;
    return Object.fromEntries(arenaNames.map((arena) => [arena, bytes(arena)])) as Record<ArenaName, number>;
  }

  /** A tensor at a fixed place; `offset` is in bytes. */
  tensor(
    arena: Exclude<ArenaName, 'workspace'>,
    offset: number,
    shape: readonly number[],
    dtype: DType = 'f32',
  ): Tensor {
    const size = this.#planning ? Infinity : (this.#reserved.get(arena) ?? 0);
    return tensorAt({ arena, offset, shape, dtype }, size);
  }

  /** Enqueues an op of the table. The arguments have the order of its struct in native/engine/ops. */
  run(op: OpName, args: readonly OpArgument[]): void {
    if (this.#planning) return;
    const code = this.#opCodes.get(op);
    if (code === undefined) throw new LxmertError('UNSUPPORTED', `the addon has no op ${op}; run \`npm run setup\``);
    const count = encodeCall(args, this.#args, (tensor) => {
      this.#checkLive(op, tensor);
      this.#lanes?.use(op, tensor);
    });
    if (this.#recorded) {
      this.#recorded.push(code, count, ...this.#args.subarray(0, count));
      return;
    }
    translated(() => this.#addon.enqueue(this.#native, code, this.#args, count));
    this.observer?.(op, args);
  }

  /**
   * Runs two pieces of work at the same time if the device can. Both run after all work that was enqueued before, and
   * before all work that is enqueued later. Neither may use memory of the other, except parameters, inputs and
   * features.
   * @throws LxmertError INTERNAL if one of them does
   */
  beside(first: () => void, second: () => void): void {
    if (this.#lanes) return this.#lanes.beside(first, second);
    first();
    second();
  }

  /**
   * Records the op calls of `work`: they are checked and bound, but not enqueued. `replay` enqueues them any number of
   * times; on CUDA the second replay captures a graph, and every later replay is one launch. A recording does not keep
   * memory alive. It becomes invalid when an arena is reserved.
   */
  record(work: () => void): Recording {
    this.#checkNotRecording('record');
    const calls: number[] = (this.#recorded = []);
    try {
      work();
    } finally {
      this.#recorded = null;
    }
    const numbers = Float64Array.from(calls);
    const number = translated(() => this.#addon.record(this.#native, numbers, numbers.length));
    return { number, reservations: this.#reservations };
  }

  /**
   * Joins other ranks, for `startSum`, `startGather` and `finishSums`. All ranks must call this at the same time.
   * @param parts number of the parts of a global batch
   * @throws LxmertError RANK_LOST; NO_DEVICE on CUDA without NCCL
   */
  async join(communicator: Communicator, { parts, alongTree, exchange }: JoinOptions): Promise<void> {
    if (this.device === 'cpu') {
      communicator.setParts(parts);
      return translated(() => this.#addon.joinRanks(this.#native, communicator.native));
    }
    const own = communicator.rank === 0 ? translated(() => this.#addon.makeRankId(cudaLibrary(this.#cudaFile))) : '';
    const [id] = await exchange('the id of the GPUs', own);
    await settled(
      translated(() => this.#addon.joinRanksOfDevice(this.#native, communicator.native, id, parts, alongTree)),
    );
  }

  /** target = a + b, float32. The order of the terms is kept; target may be one of them. */
  add(target: Tensor, a: Tensor, b: Tensor): void {
    this.#share('add', [elements(target.shape), ...[target, a, b].flatMap(placeOf)]);
  }

  /** Copies a float32 tensor. */
  copy(target: Tensor, source: Tensor): void {
    this.#share('copy', [elements(target.shape), ...[target, source].flatMap(placeOf)]);
  }

  /**
   * Begins to sum a float32 tensor over all ranks, along their tree, after the sums that were begun before. `nodes` are
   * the sums of this rank's parts. Do not use any of the tensors before `finishSums`.
   * @param slices where the slice of each rank begins, in elements, and the end of the last one. Each rank then receives
   *   only its own slice of the sum, and the rest of its `target` is undefined. Without it all ranks receive the whole sum.
   */
  startSum(target: Tensor, nodes: readonly Tensor[], slices?: readonly number[]): void {
    const places = [elements(target.shape), ...[target, ...nodes].flatMap(placeOf)];
    if (slices) this.#share('scatter', [slices.length, ...slices, ...places]);
    else this.#share('start', places);
  }

  /** Begins to copy each float32 tensor from its owner to all other ranks. Do not use any of them before `finishSums`. */
  startGather(pieces: readonly OwnedTensor[]): void {
    this.#share(
      'gather',
      pieces.flatMap(({ owner, tensor }) => [owner, elements(tensor.shape), ...placeOf(tensor)]),
    );
  }

  /**
   * The last part of the op `gradNorm`: computes `norm` from the sum of squares of each chunk, and from the sums of the
   * losses.
   */
  finishNorm(squares: Tensor, sums: Tensor, norm: Tensor): void {
    const [chunks, losses] = [squares, sums].map((tensor) => [elements(tensor.shape), ...placeOf(tensor)]);
    this.#share('norm', [...chunks, ...losses, ...placeOf(norm)]);
  }

  /** Work that is enqueued later starts only after all sums and copies that were begun are complete. */
  finishSums(): void {
    this.#share('finish', []);
  }

  #share(kind: keyof typeof shareKinds, values: readonly number[]): void {
    if (this.#planning) return;
    const args = [shareKinds[kind], ...values];
    if (this.#recorded) this.#recorded.push(shareCall, args.length, ...args);
    else translated(() => this.#addon.share(this.#native, Float64Array.from(args), args.length));
  }

  /** Whether a recording is valid: no arena has been reserved since it was made. */
  isLive({ reservations }: Recording): boolean {
    return reservations === this.#reservations;
  }

  /**
   * Enqueues the recorded calls, in order with all other work. @throws LxmertError BAD_ARGUMENT for an invalid
   * recording
   */
  replay({ number }: Recording): void {
    this.#tell(translated(() => this.#addon.replay(this.#native, number)));
  }

  /** Frees a recording after the replays that are already enqueued. */
  forget({ number }: Recording): void {
    translated(() => this.#addon.forget(this.#native, number));
  }

  /**
   * The bytes of workspace that a step needs. It runs `step` without enqueuing anything, with arenas of unlimited size.
   * Tensors that the step made are invalid afterwards.
   */
  plan(step: () => void): number {
    this.#planning = true;
    this.workspace.plan();
    try {
      step();
      return this.workspace.peakBytes;
    } finally {
      this.#planning = false;
      this.resetWorkspace();
    }
  }

  /**
   * Host memory, filled with zeros, for data that are uploaded repeatedly. For CUDA it is pinned, so that the device
   * copies from it directly.
   * @throws LxmertError OUT_OF_MEMORY; BAD_ARGUMENT for 0 bytes or more than 8 GiB
   */
  hostMemory(bytes: number): ArrayBuffer {
    return translated(() => this.#addon.hostMemory(this.#native, bytes));
  }

  /**
   * Copies host values into a tensor, in order with the ops. A plain source is copied at once. A source in `hostMemory`
   * or in a SharedArrayBuffer is read later, in place, and must not change until the promise resolves.
   *
   * With `ahead`, CUDA may copy while earlier work runs, namely the work that was enqueued after the previous upload
   * with `ahead`. So that work must not use this tensor. If two slots are used in turn, that work uses only the slot of
   * the previous upload.
   */
  async upload(tensor: Tensor, source: NodeJS.TypedArray, { ahead = false } = {}): Promise<void> {
    this.#checkLive('upload', tensor);
    this.#checkNotRecording('upload');
    if (source.byteLength !== bytesOf(tensor))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `upload: ${source.byteLength} bytes into a tensor [${tensor.shape.join(', ')}] of ${bytesOf(tensor)}`,
      );
    if (ahead) this.#checkSlot(tensor);
    const arena = arenaNames.indexOf(tensor.arena);
    await settled(translated(() => this.#addon.upload(this.#native, arena, tensor.offset, source, ahead)));
  }

  /**
   * The values of a tensor after all ops enqueued before: an Int32Array for i32, a Float32Array for all other types.
   */
  async read(tensor: Tensor): Promise<Float32Array | Int32Array> {
    this.#checkLive('read', tensor);
    this.#checkNotRecording('read');
    const target = new targets[tensor.dtype](elements(tensor.shape));
    const values = await settled(
      translated(() => this.#addon.read(this.#native, arenaNames.indexOf(tensor.arena), tensor.offset, target)),
    );
    this.#tellNote();
    return values instanceof Uint16Array ? halvesToFloats(values, tensor.dtype) : values;
  }

  /** `read` of a tensor that is not i32. */
  async readFloats(tensor: Tensor): Promise<Float32Array> {
    return (await this.read(tensor)) as Float32Array;
  }

  /** Resolves when all ops enqueued before have run. Rejects with the first error of any op. */
  async synchronize(): Promise<void> {
    await settled(translated(() => this.#addon.synchronize(this.#native)));
    this.#tellNote();
  }

  /**
   * Begins to measure the time of every op, from zero, or stops measuring. This costs two readings of a clock for each
   * op.
   */
  profile(on: boolean): void {
    translated(() => this.#addon.profile(this.#native, on));
  }

  /** The times of the ops that have run, in the order of the op table, after the work enqueued so far. */
  async readProfile(): Promise<OpProfile[]> {
    const { opNames } = this.#addon;
    const target = new Float64Array(2 * opNames.length);
    return opProfiles(opNames, await settled(translated(() => this.#addon.readProfile(this.#native, target))));
  }

  /**
   * Finishes the queued work, then releases all memory. Later calls are refused; another call of `dispose` is allowed.
   */
  dispose(): Promise<void> {
    this.#disposed ??= this.#addon.dispose(this.#native);
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Whether ops are sent to one of two lanes, which have no order between them. */
  get isInLane(): boolean {
    return this.#lanes?.isInLane ?? false;
  }

  /** Sends the ops that follow to lane 1 or 2; 0 ends both lanes. */
  #enterLane(lane: number): void {
    if (this.#planning) return;
    if (this.#recorded) this.#recorded.push(laneChange, 1, lane);
    else translated(() => this.#addon.enterLane(this.#native, lane));
  }

  /** Reports a note of a replay, even if no other replay follows. */
  #tellNote(): void {
    if (!this.#disposed) this.#tell(translated(() => this.#addon.takeNote(this.#native)));
  }

  #tell(note: string): void {
    if (note) this.#onNote(`steps run op by op, which is slower: ${note}`);
  }

  #checkLive(what: string, tensor: Tensor): void {
    if (tensor.arena === 'workspace' && tensor.generation !== this.workspace.generation)
      throw new LxmertError(
        'DISPOSED',
        `${what}: a tensor [${tensor.shape.join(', ')}] of a workspace that has been reset; read it before the next step`,
      );
  }

  /**
   * The work since the previous upload with `ahead` reads the tensor of that upload, so this upload must have another
   * target.
   */
  #checkSlot(tensor: Tensor): void {
    const last = this.#uploadedAhead;
    if (last && overlap(last, tensor))
      throw new LxmertError(
        'BAD_ARGUMENT',
        'upload ahead: the last upload had the same target, which enqueued work may still read',
      );
    this.#uploadedAhead = tensor;
  }

  #checkNotRecording(what: string): void {
    if (this.#recorded) throw new LxmertError('INTERNAL', `${what} inside of a recording, which takes ops only`);
  }
}

/** The op number of a call of Engine::Share in a recording (native/engine/engine.h). */
const shareCall = -2;
const shareKinds = { add: 0, copy: 1, start: 2, scatter: 3, gather: 4, norm: 5, finish: 6 } as const;

const placeOf = ({ arena, offset }: Tensor): [number, number] => [arenaNames.indexOf(arena), offset];

const targets = { f32: Float32Array, i32: Int32Array, bf16: Uint16Array, f16: Uint16Array } as const;
