import {
  adamUpdate,
  bytesOf,
  elementBytes,
  fill,
  gradNorm,
  stepRecordWords,
  writeStepRecord,
  type AdamOptions,
  type Engine,
  type GradientLedger,
  type NormTensors,
  type OwnedTensor,
  type Tensor,
  type UpdateTensors,
} from '../engine/index.js';
import type { ModelWeights } from '../model/weights.js';
import { nearest } from '../config/nearest.js';
import { LxmertError } from '../errors.js';
import { recordOf } from '../records.js';
import type { LossCounts, Tallies } from './losses.js';
import { chunkElements, type OptimizerSlices } from './optimizerSlices.js';
import type { StagedBatch, StepKeys } from './staging.js';
import { planUpdate, type Chunk } from './updatePlan.js';

/** The kinds of tensors that can be read and written by the name of a parameter. */
const stateKinds = ['parameter', 'gradient', 'firstMoment', 'secondMoment'] as const;

export type StateKind = (typeof stateKinds)[number];

const tallyWords = 4;

const aligned = (bytes: number): number => 64 * Math.ceil(bytes / 64);

/** Work of an update that is ready to be enqueued. */
interface UpdateWork {
  /** The tensors of the op; undefined if this rank updates none of these parameters. */
  readonly tensors: UpdateTensors | undefined;
  readonly hasOwnRate: boolean;
  /** The updated parameters of all ranks, to be copied to all. */
  readonly updated: readonly OwnedTensor[];
}

/**
 * The state arena: the report of a step (sums of each loss, gradient norm), the optimizer's lists of chunks, and
 * BertAdam's two moments. With `OptimizerSlices` it contains only the moments of this rank's slices.
 */
export class ModelState {
  /** Sums of each loss, [losses, 4], in the order of the loss record. */
  readonly tallies: Tensor;
  /** Tallies, then the gradient's norm, and 1 if it or a tally is not finite. */
  readonly report: Tensor;
  readonly #engine: Engine;
  readonly #weights: ModelWeights;
  readonly #norm: Tensor;
  readonly #chunkStart: number;
  readonly #mostChunks: number;
  readonly #partialStart: number;
  /** Two step records, for the update of a step in which this process may have no batch. */
  readonly #recordStart: number;
  readonly #momentStart: number;
  #slices: OptimizerSlices | undefined;
  /** The tensors of `gradNorm`, and the sums of squares by their owners. */
  #normWork: { readonly tensors: NormTensors; readonly squares: readonly OwnedTensor[] } | undefined;
  #updateWork: readonly UpdateWork[] = [];
  #activeKey = '';
  /** True while nothing has been written to the moments: their pages are zeros, for which the system uses no memory. */
  #momentsUntouched = true;

  /** @param losses number of losses */
  constructor(engine: Engine, weights: ModelWeights, losses: number) {
    this.#engine = engine;
    this.#weights = weights;
    const tallyTotal = losses * tallyWords;
    const reportWords = tallyTotal + 2;
    // A range of groups may end inside a chunk, so there may be a few more chunks than the whole arena has.
    this.#mostChunks = Math.ceil(weights.bytes / elementBytes / chunkElements) + 32;
    this.#chunkStart = aligned(reportWords * elementBytes);
    this.#partialStart = this.#chunkStart + aligned(2 * this.#mostChunks * 2 * elementBytes);
    this.#recordStart = this.#partialStart + aligned(this.#mostChunks * elementBytes);
    this.#momentStart = this.#recordStart + aligned(2 * stepRecordWords * elementBytes);
    engine.reserve('state', this.#momentStart + 2 * weights.bytes);
    this.report = engine.tensor('state', 0, [reportWords]);
    this.tallies = engine.tensor('state', 0, [losses, tallyWords]);
    this.#norm = engine.tensor('state', tallyTotal * elementBytes, [2]);
  }

  /** From now on stores the moments of this rank's slices only. The contents of the arena are lost. */
  shard(slices: OptimizerSlices): void {
    this.#slices = slices;
    this.#engine.reserve('state', this.#momentStart + 2 * slices.ownBytes);
    this.#momentsUntouched = true;
    this.#activeKey = '';
  }

  /** @throws LxmertError BAD_ARGUMENT for an unknown kind, or a parameter that the model does not have */
  demandKnown(kind: StateKind, name: string): void {
    if (!stateKinds.includes(kind))
      throw new LxmertError('BAD_ARGUMENT', `there is no state ${kind}; expected ${stateKinds.join(', ')}`);
    if (this.#weights.has(name)) return;
    const meant = nearest(
      name,
      this.#weights.parameters.map((parameter) => parameter.name),
    );
    throw new LxmertError(
      'BAD_ARGUMENT',
      `the model has no parameter ${name}${meant === undefined ? '' : `; did you mean ${meant}?`}. \`parameters\` lists all`,
    );
  }

  /** With slices all ranks must read the same moments in the same order. */
  async read(kind: StateKind, name: string): Promise<Float32Array> {
    const { tensor, gradient, offset } = this.#weights.get(name);
    if (kind === 'gradient' && this.#slices)
      throw new LxmertError('UNSUPPORTED', 'with a sharded optimizer no rank has the whole gradient');
    if (kind === 'parameter' || kind === 'gradient')
      return this.#engine.readFloats(kind === 'parameter' ? tensor : gradient);
    if (!this.#slices)
      return this.#engine.readFloats({ ...this.#moment(kind, offset, bytesOf(tensor)), shape: tensor.shape });
    // Between two steps the gradients are not used, so the values of all ranks are collected in their memory.
    const pieces = this.#slices
      .owned(offset, offset + bytesOf(tensor))
      .map((range) => ({ ...range, tensor: this.#part('gradients', range.begin, range.end) }));
    for (const { owner, begin, end, tensor: target } of pieces)
      if (owner === this.#slices.rank) this.#engine.copy(target, this.#moment(kind, begin, end - begin));
    this.#engine.startGather(pieces);
    this.#engine.finishSums();
    return this.#engine.readFloats(gradient);
  }

  async write(kind: StateKind, name: string, values: Float32Array): Promise<void> {
    const { tensor, gradient, offset } = this.#weights.get(name);
    if (kind === 'parameter' || kind === 'gradient')
      return this.#engine.upload(kind === 'parameter' ? tensor : gradient, values);
    this.#momentsUntouched = false;
    if (!this.#slices)
      return this.#engine.upload({ ...this.#moment(kind, offset, bytesOf(tensor)), shape: tensor.shape }, values);
    if (values.byteLength !== bytesOf(tensor))
      throw new LxmertError('BAD_ARGUMENT', `${name}: ${values.length} values, expected [${tensor.shape.join(', ')}]`);
    for (const { owner, begin, end } of this.#slices.owned(offset, offset + bytesOf(tensor)))
      if (owner === this.#slices.rank)
        await this.#engine.upload(
          this.#moment(kind, begin, end - begin),
          values.subarray((begin - offset) / elementBytes, (end - offset) / elementBytes),
        );
  }

  /** The moments of a range of the parameters; with slices it must lie in one slice of this rank. Both are in bytes. */
  #moment(kind: 'firstMoment' | 'secondMoment', offset: number, bytes: number): Tensor {
    const { storedAt, ownBytes } = this.#stored;
    const start = this.#momentStart + (kind === 'firstMoment' ? 0 : ownBytes);
    return this.#engine.tensor('state', start + storedAt(offset), [bytes / elementBytes]);
  }

  get #stored() {
    const slices = this.#slices;
    return slices
      ? { ownBytes: slices.ownBytes, storedAt: (offset: number) => slices.storedAt(offset) }
      : { ownBytes: this.#weights.bytes, storedAt: (offset: number) => offset };
  }

  #part(arena: 'parameters' | 'gradients', begin: number, end: number): Tensor {
    return this.#engine.tensor(arena, begin, [(end - begin) / elementBytes]);
  }

  /** Sets the moments to zero, as at the start of a run. */
  clearMoments(): void {
    if (this.#momentsUntouched) return;
    const words = (2 * this.#stored.ownBytes) / elementBytes;
    fill(this.#engine, this.#engine.tensor('state', this.#momentStart, [words]), 0);
  }

  clearTallies(): void {
    fill(this.#engine, this.tallies, 0);
  }

  /** Byte ranges of the gradients of the groups. */
  ranges(groups: ReadonlySet<string>): readonly (readonly [number, number])[] {
    return this.#weights.ranges(groups);
  }

  /** Uploads step records for the update if this process has no batch in this step. */
  uploadRecords(keys: StepKeys): {
    readonly record: Tensor;
    readonly ownRateRecord: Tensor;
    readonly done: Promise<void>;
  } {
    const bytes = stepRecordWords * elementBytes;
    const words = new Int32Array(2 * stepRecordWords);
    const none = { samples: 0, languageRows: 0, visionRows: 0, maskedTokens: 0, maskedObjects: 0 };
    writeStepRecord({ ...keys, ...none }, words.buffer, 0);
    writeStepRecord({ ...keys, ...none, learningRate: keys.ownRate ?? keys.learningRate }, words.buffer, bytes);
    const at = (i: number, count: number): Tensor =>
      this.#engine.tensor('state', this.#recordStart + i * bytes, [count * stepRecordWords], 'i32');
    return { record: at(0, 1), ownRateRecord: at(1, 1), done: this.#engine.upload(at(0, 2), words) };
  }

  /**
   * Sets the gradients of the groups to zero where no op wrote them, for example because a task has no labels or no
   * loss uses an output.
   */
  clearUnwritten(groups: ReadonlySet<string>, ledger: GradientLedger): void {
    for (const [begin, end] of this.#weights.ranges(groups))
      for (const gap of ledger.unwritten(begin, end))
        fill(this.#engine, this.#engine.tensor('gradients', gap.begin, [(gap.end - gap.begin) / elementBytes]), 0);
  }

  /**
   * Tells the device which groups to update. The groups in `ownRate` get the learning rate of the second record.
   * Waits only if the groups differ from those of the last call.
   */
  async prepareUpdate(groups: ReadonlySet<string>, ownRate: ReadonlySet<string> = new Set()): Promise<void> {
    this.#momentsUntouched = false;
    const key = [...groups].join(' ');
    if (key === this.#activeKey) return;
    const rangesOf = (isOwn: boolean) =>
      this.#weights.ranges(new Set([...groups].filter((group) => ownRate.has(group) === isOwn)));
    const { norm, owners, work } = planUpdate(rangesOf(false), rangesOf(true), this.#weights.bytes, this.#slices);
    const table: Chunk[] = [...norm];
    const chunks = (first: number, count: number): Tensor =>
      this.#engine.tensor('state', this.#chunkStart + first * 2 * elementBytes, [count, 2], 'i32');
    const squares = (first: number, count: number): Tensor =>
      this.#engine.tensor('state', this.#partialStart + first * elementBytes, [count]);
    this.#normWork = {
      tensors: {
        chunks: chunks(0, norm.length),
        gradients: this.#part('gradients', 0, this.#weights.bytes),
        ...{ partial: squares(0, norm.length), sums: this.tallies, norm: this.#norm },
      },
      squares: runsOf(owners).map(({ owner, first, count }) => ({ owner, tensor: squares(first, count) })),
    };
    this.#updateWork = work.map(({ stretch, owned }) => {
      const updated = owned.map(({ owner, begin, end }) => ({ owner, tensor: this.#part('parameters', begin, end) }));
      if (!stretch) return { tensors: undefined, hasOwnRate: false, updated };
      const { begin, end, hasOwnRate } = stretch;
      const tensors: UpdateTensors = {
        chunks: chunks(table.length, stretch.chunks.length),
        norm: this.#norm,
        parameters: this.#part('parameters', begin, end),
        gradients: this.#part('gradients', begin, end),
        firstMoment: this.#moment('firstMoment', begin, end - begin),
        secondMoment: this.#moment('secondMoment', begin, end - begin),
      };
      table.push(...stretch.chunks);
      return { tensors, hasOwnRate, updated };
    });
    const words = Int32Array.from(table.flat());
    await this.#engine.upload(this.#engine.tensor('state', this.#chunkStart, [words.length], 'i32'), words);
    this.#activeKey = key;
  }

  /**
   * Enqueues norm, clipping and BertAdam over the groups for which `prepareUpdate` was called last. Other parameters
   * and their moments do not change. With slices, this rank updates its own slices and receives the others from the
   * other ranks.
   */
  update({ record, ownRateRecord }: Pick<StagedBatch, 'record' | 'ownRateRecord'>, adam: AdamOptions): void {
    if (!this.#normWork) throw new LxmertError('INTERNAL', 'prepareUpdate was not called');
    const { tensors: norm, squares } = this.#normWork;
    gradNorm(this.#engine, norm);
    if (this.#slices) {
      this.#engine.startGather(squares);
      this.#engine.finishSums();
      this.#engine.finishNorm(norm.partial, norm.sums, norm.norm);
    }
    for (const { tensors, hasOwnRate, updated } of this.#updateWork) {
      if (tensors) adamUpdate(this.#engine, tensors, hasOwnRate ? ownRateRecord : record, adam);
      if (updated.length > 0) this.#engine.startGather(updated);
    }
    if (this.#slices) this.#engine.finishSums();
  }
}

/** The ranges of neighbouring entries with the same owner in a list; empty for a process that owns all. */
function runsOf(owners: readonly (number | undefined)[]) {
  const runs: { owner: number; first: number; count: number }[] = [];
  owners.forEach((owner, i) => {
    const last = runs.at(-1);
    if (owner === undefined) return;
    if (last?.owner === owner) last.count++;
    else runs.push({ owner, first: i, count: 1 });
  });
  return runs;
}

/** The values of `ModelState.report`. */
export interface StepReport<L extends string> {
  readonly tallies: Tallies<L>;
  readonly gradNorm: number;
  /** Whether the gradient's norm is finite. If it is not, the device has left the weights as they were. */
  readonly finite: boolean;
}

export function parseReport<L extends string>(
  report: Float32Array,
  losses: readonly L[],
  counts: LossCounts<L>,
): StepReport<L> {
  const tallies = recordOf(losses, (name, i) => {
    const [lossSum, correct, labelled] = report.subarray(i * tallyWords, (i + 1) * tallyWords);
    return { lossSum, count: counts[name], correct, labelled };
  });
  const [gradNorm, notFinite] = report.subarray(losses.length * tallyWords);
  return { tallies, gradNorm, finite: notFinite === 0 };
}
