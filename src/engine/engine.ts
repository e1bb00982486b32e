import { LxmertError } from '../errors.js';
import { openDevice, type EngineOptions, type OpenedDevice } from './device.js';
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

/** Op calls that have been recorded; its number in the engine. */
export interface Recording {
  readonly number: number;
  /** How often arenas had been reserved by then. */
  readonly reservations: number;
}

/**
 * One device with one stream of work. Op calls check their arguments, enqueue and return at once; `await read()` and
 * `await synchronize()` are the only waits, and the event loop never blocks on arithmetic.
 *
 * Memory is six arenas, sized by `reserve`. A failed op makes the engine refuse what follows: the next read or
 * synchronize rejects with its error.
 */
export class Engine implements AsyncDisposable {
  readonly device: 'cpu' | 'cuda';
  /** The device in words, and why it is not CUDA's if that was left open. */
  readonly description: string;
  /** What activations are kept in. */
  readonly activationDType: DType;
  /** Sees each op call that is enqueued: for benches and tests. */
  observer: ((op: OpName, args: readonly OpArgument[]) => void) | null = null;
  readonly workspace = new Workspace();
  private readonly native: NativeEngine;
  private readonly onNote: (text: string) => void;
  /** CUDA has lanes, unless the options say no. */
  private readonly lanes: Lanes | null;
  private readonly opCodes: ReadonlyMap<string, number>;
  private readonly reserved = new Map<ArenaName, number>();
  private readonly args = new Float64Array(128);
  private planning = false;
  /** The calls being recorded, in the numbers that the addon takes. */
  private recorded: number[] | null = null;
  private reservations = 0;
  private uploadedAhead: Tensor | null = null;
  private disposed: Promise<void> | null = null;

  private constructor(
    private readonly addon: NativeAddon,
    opened: OpenedDevice,
    { onNote = () => undefined, lanes = true }: EngineOptions,
  ) {
    this.native = opened.native;
    this.device = opened.device;
    this.description = opened.description;
    this.activationDType = addon.activationsOf(this.native);
    this.lanes = lanes && this.device === 'cuda' ? new Lanes(this.workspace, (lane) => this.enterLane(lane)) : null;
    this.onNote = onNote;
    this.opCodes = new Map(addon.opNames.map((name, code) => [name, code]));
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

  /** Gives an arena its size, zeroed; what it held is lost. Work enqueued so far still finds the old one. */
  reserve(arena: ArenaName, bytes: number): void {
    translated(() => this.addon.reserve(this.native, arenaNames.indexOf(arena), bytes));
    this.reserved.set(arena, bytes);
    this.reservations++;
    if (this.uploadedAhead?.arena === arena) this.uploadedAhead = null;
    if (arena === 'workspace') this.workspace.reset(bytes);
  }

  /** Starts the workspace anew for the next step; tensors of the last one are dead. */
  resetWorkspace(): void {
    this.workspace.reset(this.reserved.get('workspace') ?? 0);
  }

  /** Bytes of each arena. */
  memory(): Readonly<Record<ArenaName, number>> {
    const bytes = (arena: ArenaName): number => this.reserved.get(arena) ?? 0;
    return Object.fromEntries(arenaNames.map((arena) => [arena, bytes(arena)])) as Record<ArenaName, number>;
  }

  /** A tensor at a fixed place; `offset` in bytes. */
  tensor(
    arena: Exclude<ArenaName, 'workspace'>,
    offset: number,
    shape: readonly number[],
    dtype: DType = 'f32',
  ): Tensor {
    const size = this.planning ? Infinity : (this.reserved.get(arena) ?? 0);
    return tensorAt({ arena, offset, shape, dtype }, size);
  }

  /** Enqueues an op of the table; arguments in the order of its struct in native/engine/ops.h. */
  run(op: OpName, args: readonly OpArgument[]): void {
    if (this.planning) return;
    const code = this.opCodes.get(op);
    if (code === undefined) throw new LxmertError('UNSUPPORTED', `the addon has no op ${op}; run \`npm run setup\``);
    const count = encodeCall(args, this.args, (tensor) => {
      this.checkLive(op, tensor);
      this.lanes?.use(op, tensor);
    });
    if (this.recorded) {
      this.recorded.push(code, count, ...this.args.subarray(0, count));
      return;
    }
    translated(() => this.addon.enqueue(this.native, code, this.args, count));
    this.observer?.(op, args);
  }

  /**
   * Does two works side by side where the device can: after all that was enqueued before, and before all that is enqueued
   * later. Neither may use what the other does, but for parameters, inputs and features. @throws LxmertError INTERNAL when one does
   */
  beside(first: () => void, second: () => void): void {
    if (this.lanes) return this.lanes.beside(first, second);
    first();
    second();
  }

  /**
   * Records the op calls of `work`, which are checked and bound but not enqueued. `replay` enqueues them, as often as wanted:
   * on CUDA from the second time on as one launch. A recording holds no memory; it is dead once an arena is reserved.
   */
  record(work: () => void): Recording {
    this.checkNotRecording('record');
    const calls: number[] = (this.recorded = []);
    try {
      work();
    } finally {
      this.recorded = null;
    }
    const numbers = Float64Array.from(calls);
    const number = translated(() => this.addon.record(this.native, numbers, numbers.length));
    return { number, reservations: this.reservations };
  }

  /** Whether no arena has been reserved since. */
  isLive({ reservations }: Recording): boolean {
    return reservations === this.reservations;
  }

  /** Enqueues what was recorded, in order with all else. @throws LxmertError BAD_ARGUMENT for a dead recording */
  replay({ number }: Recording): void {
    const note = translated(() => this.addon.replay(this.native, number));
    if (note) this.onNote(`steps run op by op, which is slower: ${note}`);
  }

  /** Gives up what a recording takes, once its replays have run. */
  forget({ number }: Recording): void {
    translated(() => this.addon.forget(this.native, number));
  }

  /**
   * The workspace bytes that a step needs: runs `step` with nothing enqueued and endless arenas. What the step
   * made meanwhile is dead afterwards.
   */
  plan(step: () => void): number {
    this.planning = true;
    this.workspace.plan();
    try {
      step();
      return this.workspace.peakBytes;
    } finally {
      this.planning = false;
      this.resetWorkspace();
    }
  }

  /**
   * Host memory of so many bytes, zeroed, to upload from again and again: pinned for CUDA, which copies from it without help.
   * @throws LxmertError OUT_OF_MEMORY, BAD_ARGUMENT for none, or more than 8 GiB
   */
  hostMemory(bytes: number): ArrayBuffer {
    return translated(() => this.addon.hostMemory(this.native, bytes));
  }

  /**
   * Copies host values into a tensor, in order with the ops. A plain source is copied at once; one in `hostMemory` or in a
   * SharedArrayBuffer is read where it lies and must stay unchanged until the promise resolves.
   *
   * `ahead` lets CUDA copy while it computes: beside the work enqueued since the last upload ahead, which therefore must
   * not use this tensor. Two slots in turn keep that rule: what the last upload was for reads the other one.
   */
  async upload(tensor: Tensor, source: NodeJS.TypedArray, { ahead = false } = {}): Promise<void> {
    this.checkLive('upload', tensor);
    this.checkNotRecording('upload');
    if (source.byteLength !== bytesOf(tensor))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `upload: ${source.byteLength} bytes into a tensor [${tensor.shape.join(', ')}] of ${bytesOf(tensor)}`,
      );
    if (ahead) this.checkSlot(tensor);
    const arena = arenaNames.indexOf(tensor.arena);
    await settled(translated(() => this.addon.upload(this.native, arena, tensor.offset, source, ahead)));
  }

  /** The values of a tensor once all ops enqueued before have run: Int32Array for i32, Float32Array for all others. */
  async read(tensor: Tensor): Promise<Float32Array | Int32Array> {
    this.checkLive('read', tensor);
    this.checkNotRecording('read');
    const target = new targets[tensor.dtype](elements(tensor.shape));
    const values = await settled(
      translated(() => this.addon.read(this.native, arenaNames.indexOf(tensor.arena), tensor.offset, target)),
    );
    return values instanceof Uint16Array ? halvesToFloats(values, tensor.dtype) : values;
  }

  /** `read` of a tensor that is not i32. */
  async readFloats(tensor: Tensor): Promise<Float32Array> {
    return (await this.read(tensor)) as Float32Array;
  }

  /** Resolves when all ops enqueued before have run; rejects with the first error of any. */
  async synchronize(): Promise<void> {
    await settled(translated(() => this.addon.synchronize(this.native)));
  }

  /** Times every op enqueued from here on, from zero; or stops. Costs two looks at a clock an op. */
  profile(on: boolean): void {
    translated(() => this.addon.profile(this.native, on));
  }

  /** What each op that ran took, in the order of the op table, once the work enqueued so far has run. */
  async readProfile(): Promise<OpProfile[]> {
    const { opNames } = this.addon;
    const target = new Float64Array(2 * opNames.length);
    return opProfiles(opNames, await settled(translated(() => this.addon.readProfile(this.native, target))));
  }

  /** Lets the queued work finish, then gives all memory back. Later calls are refused; calling it again is fine. */
  dispose(): Promise<void> {
    this.disposed ??= this.addon.dispose(this.native);
    return this.disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Where ops go from here on: lane 1 or 2, or 0, behind both. */
  private enterLane(lane: number): void {
    if (this.planning) return;
    if (this.recorded) this.recorded.push(laneChange, 1, lane);
    else translated(() => this.addon.enterLane(this.native, lane));
  }

  private checkLive(what: string, tensor: Tensor): void {
    if (tensor.arena === 'workspace' && tensor.generation !== this.workspace.generation)
      throw new LxmertError(
        'DISPOSED',
        `${what}: a tensor [${tensor.shape.join(', ')}] of a workspace that has been reset; read it before the next step`,
      );
  }

  /** The work since the last upload ahead reads that one's tensor, at least. */
  private checkSlot(tensor: Tensor): void {
    const last = this.uploadedAhead;
    if (last && overlap(last, tensor))
      throw new LxmertError(
        'BAD_ARGUMENT',
        'upload ahead: the last one went to the same place, where work may read it',
      );
    this.uploadedAhead = tensor;
  }

  private checkNotRecording(what: string): void {
    if (this.recorded) throw new LxmertError('INTERNAL', `${what} inside of a recording, which takes ops only`);
  }
}

const targets = { f32: Float32Array, i32: Int32Array, bf16: Uint16Array, f16: Uint16Array } as const;
