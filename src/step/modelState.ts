import {
  adamUpdate,
  elementBytes,
  fill,
  gradNorm,
  stepRecordWords,
  writeStepRecord,
  type AdamOptions,
  type Engine,
  type GradientLedger,
  type OptimizerTensors,
  type Tensor,
} from '../engine/index.js';
import type { ModelWeights } from '../model/weights.js';
import { nearest } from '../config/nearest.js';
import { LxmertError } from '../errors.js';
import { recordOf } from '../records.js';
import type { LossCounts, Tallies } from './losses.js';
import type { StagedBatch, StepKeys } from './staging.js';

/** Tensors that can be read and written by a parameter's name. */
const stateKinds = ['parameter', 'gradient', 'firstMoment', 'secondMoment'] as const;

export type StateKind = (typeof stateKinds)[number];

/** Elements that the optimizer's ops process as one chunk. */
const chunkElements = 65536;
const tallyWords = 4;

/**
 * The state arena: BertAdam's two moments, the report of a step (sums of each loss, gradient norm), and the optimizer's
 * list of chunks.
 */
export class ModelState {
  /** Sums of each loss, [losses, 4], in the order of the loss record. */
  readonly tallies: Tensor;
  /** Tallies, then the gradient's norm, and 1 if it or a tally is not finite. */
  readonly report: Tensor;
  readonly #engine: Engine;
  readonly #weights: ModelWeights;
  readonly #fixed: Omit<OptimizerTensors, 'chunks' | 'partial'>;
  readonly #chunkStart: number;
  readonly #partialStart: number;
  /** Two step records, for the update of a step in which this process may have no batch. */
  readonly #recordStart: number;
  #chunkCount = 0;
  /** Number of chunks with a separate learning rate. They are the last chunks. */
  #ownRateCount = 0;
  #activeKey = '';
  /** True while nothing has been written to the moments: their pages are zeros, for which the system uses no memory. */
  #momentsUntouched = true;

  /** @param losses number of losses */
  constructor(engine: Engine, weights: ModelWeights, losses: number) {
    this.#engine = engine;
    this.#weights = weights;
    const { bytes } = weights;
    const tallyTotal = losses * tallyWords;
    const reportWords = tallyTotal + 2;
    // A range of groups may end inside a chunk, so there may be a few more chunks than the whole arena has.
    const chunks = Math.ceil(bytes / elementBytes / chunkElements) + 32;
    const reportStart = 2 * bytes;
    this.#chunkStart = reportStart + 64 * Math.ceil((reportWords * elementBytes) / 64);
    this.#partialStart = this.#chunkStart + chunks * 2 * elementBytes;
    this.#recordStart = 64 * Math.ceil((this.#partialStart + chunks * elementBytes) / 64);
    engine.reserve('state', this.#recordStart + 2 * stepRecordWords * elementBytes);
    this.report = engine.tensor('state', reportStart, [reportWords]);
    this.tallies = engine.tensor('state', reportStart, [losses, tallyWords]);
    const whole = [bytes / elementBytes];
    this.#fixed = {
      parameters: engine.tensor('parameters', 0, whole),
      gradients: engine.tensor('gradients', 0, whole),
      firstMoment: engine.tensor('state', 0, whole),
      secondMoment: engine.tensor('state', bytes, whole),
      sums: this.tallies,
      norm: engine.tensor('state', reportStart + tallyTotal * elementBytes, [2]),
    };
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

  tensor(kind: StateKind, name: string): Tensor {
    const { tensor, gradient, offset, spec } = this.#weights.get(name);
    if (kind === 'parameter') return tensor;
    if (kind === 'gradient') return gradient;
    this.#momentsUntouched = false;
    return this.#engine.tensor('state', offset + (kind === 'firstMoment' ? 0 : this.#weights.bytes), spec.shape);
  }

  /** Sets the moments to zero, as at the start of a run. */
  clearMoments(): void {
    if (this.#momentsUntouched) return;
    fill(this.#engine, this.#fixed.firstMoment, 0);
    fill(this.#engine, this.#fixed.secondMoment, 0);
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

  /** Sets the gradients of the groups to zero where no op wrote them: a task without labels, an output that no loss uses. */
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
    const some = (isOwn: boolean) => new Set([...groups].filter((group) => ownRate.has(group) === isOwn));
    const chunks = [this.#chunksOf(some(false)), this.#chunksOf(some(true))];
    const table = chunks.flat();
    await this.#engine.upload(
      this.#engine.tensor('state', this.#chunkStart, [table.length], 'i32'),
      Int32Array.from(table),
    );
    this.#chunkCount = table.length / 2;
    this.#ownRateCount = chunks[1].length / 2;
    this.#activeKey = key;
  }

  /** Begin and length of each chunk of some groups, in elements of the arenas. */
  #chunksOf(groups: ReadonlySet<string>): number[] {
    const table: number[] = [];
    for (const [begin, end] of this.#weights.ranges(groups))
      for (let at = begin / elementBytes; at < end / elementBytes; at += chunkElements)
        table.push(at, Math.min(chunkElements, end / elementBytes - at));
    return table;
  }

  /**
   * Norm, clipping and BertAdam over the groups for which `prepareUpdate` was called last; other parameters and their moments
   * are not touched at all.
   */
  update({ record, ownRateRecord }: Pick<StagedBatch, 'record' | 'ownRateRecord'>, adam: AdamOptions): void {
    const chunks = (first: number, count: number): Tensor =>
      this.#engine.tensor('state', this.#chunkStart + first * 2 * elementBytes, [count, 2], 'i32');
    const partial = this.#engine.tensor('state', this.#partialStart, [this.#chunkCount]);
    const of = (first: number, count: number) => ({ ...this.#fixed, chunks: chunks(first, count), partial });
    gradNorm(this.#engine, of(0, this.#chunkCount));
    const usual = this.#chunkCount - this.#ownRateCount;
    if (usual > 0) adamUpdate(this.#engine, of(0, usual), record, adam);
    if (this.#ownRateCount > 0) adamUpdate(this.#engine, of(usual, this.#ownRateCount), ownRateRecord, adam);
  }
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
