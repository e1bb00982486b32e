import {
  adamUpdate,
  elementBytes,
  fill,
  gradNorm,
  type AdamOptions,
  type Engine,
  type GradientLedger,
  type OptimizerTensors,
  type Tensor,
} from '../engine/index.js';
import type { ModelWeights } from '../model/weights.js';
import { recordOf } from '../records.js';
import type { LossCounts, Tallies } from './losses.js';
import type { StagedBatch } from './staging.js';

/** What can be read and written by a parameter's name. */
export type StateKind = 'parameter' | 'gradient' | 'firstMoment' | 'secondMoment';

/** Elements of one chunk of the optimizer's work. */
const chunkElements = 65536;
const tallyWords = 4;

/**
 * The state arena beside the weights: BertAdam's two moments, the report of a step (sums of each loss, gradient norm),
 * and the optimizer's list of chunks.
 */
export class ModelState {
  /** Sums of each loss, [losses, 4], in the order of the loss record. */
  readonly tallies: Tensor;
  /** Tallies, then the gradient's norm, and 1 if it or a tally is not finite. */
  readonly report: Tensor;
  private readonly fixed: Omit<OptimizerTensors, 'chunks' | 'partial'>;
  private readonly chunkStart: number;
  private readonly partialStart: number;
  private chunkCount = 0;
  /** The last of the chunks: those with a learning rate of their own. */
  private ownRateCount = 0;
  private activeKey = '';
  /** Nothing has been written to the moments: their pages are still zero, and take no memory. */
  private momentsUntouched = true;

  constructor(
    private readonly engine: Engine,
    private readonly weights: ModelWeights,
    losses: number,
  ) {
    const { bytes } = weights;
    const tallyTotal = losses * tallyWords;
    const reportWords = tallyTotal + 2;
    // Ranges of groups end anywhere, so there may be a few more chunks than the whole arena has.
    const chunks = Math.ceil(bytes / elementBytes / chunkElements) + 32;
    const reportStart = 2 * bytes;
    this.chunkStart = reportStart + 64 * Math.ceil((reportWords * elementBytes) / 64);
    this.partialStart = this.chunkStart + chunks * 2 * elementBytes;
    engine.reserve('state', this.partialStart + chunks * elementBytes);
    this.report = engine.tensor('state', reportStart, [reportWords]);
    this.tallies = engine.tensor('state', reportStart, [losses, tallyWords]);
    const whole = [bytes / elementBytes];
    this.fixed = {
      parameters: engine.tensor('parameters', 0, whole),
      gradients: engine.tensor('gradients', 0, whole),
      firstMoment: engine.tensor('state', 0, whole),
      secondMoment: engine.tensor('state', bytes, whole),
      sums: this.tallies,
      norm: engine.tensor('state', reportStart + tallyTotal * elementBytes, [2]),
    };
  }

  /** @throws LxmertError BAD_ARGUMENT for an unknown name */
  tensor(kind: StateKind, name: string): Tensor {
    const { tensor, gradient, offset, spec } = this.weights.get(name);
    if (kind === 'parameter') return tensor;
    if (kind === 'gradient') return gradient;
    this.momentsUntouched = false;
    return this.engine.tensor('state', offset + (kind === 'firstMoment' ? 0 : this.weights.bytes), spec.shape);
  }

  /** Moments of a run's start. */
  clearMoments(): void {
    if (this.momentsUntouched) return;
    fill(this.engine, this.fixed.firstMoment, 0);
    fill(this.engine, this.fixed.secondMoment, 0);
  }

  clearTallies(): void {
    fill(this.engine, this.tallies, 0);
  }

  /** Gradients of the groups that no op has written: a task without labels, a branch that nothing reads. */
  clearUnwritten(groups: ReadonlySet<string>, ledger: GradientLedger): void {
    for (const [begin, end] of this.weights.ranges(groups))
      for (const gap of ledger.unwritten(begin, end))
        fill(this.engine, this.engine.tensor('gradients', gap.begin, [(gap.end - gap.begin) / elementBytes]), 0);
  }

  /**
   * Tells the device which groups are to be updated, those of `ownRate` with the learning rate of the second record.
   * Waits only when they are others than before.
   */
  async prepareUpdate(groups: ReadonlySet<string>, ownRate: ReadonlySet<string> = new Set()): Promise<void> {
    this.momentsUntouched = false;
    const key = [...groups].join(' ');
    if (key === this.activeKey) return;
    const some = (isOwn: boolean) => new Set([...groups].filter((group) => ownRate.has(group) === isOwn));
    const chunks = [this.chunksOf(some(false)), this.chunksOf(some(true))];
    const table = chunks.flat();
    await this.engine.upload(
      this.engine.tensor('state', this.chunkStart, [table.length], 'i32'),
      Int32Array.from(table),
    );
    this.chunkCount = table.length / 2;
    this.ownRateCount = chunks[1].length / 2;
    this.activeKey = key;
  }

  /** Begin and length of each chunk of some groups, in elements of the arenas. */
  private chunksOf(groups: ReadonlySet<string>): number[] {
    const table: number[] = [];
    for (const [begin, end] of this.weights.ranges(groups))
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
      this.engine.tensor('state', this.chunkStart + first * 2 * elementBytes, [count, 2], 'i32');
    const partial = this.engine.tensor('state', this.partialStart, [this.chunkCount]);
    const of = (first: number, count: number) => ({ ...this.fixed, chunks: chunks(first, count), partial });
    gradNorm(this.engine, of(0, this.chunkCount));
    const usual = this.chunkCount - this.ownRateCount;
    if (usual > 0) adamUpdate(this.engine, of(0, usual), record, adam);
    if (this.ownRateCount > 0) adamUpdate(this.engine, of(usual, this.ownRateCount), ownRateRecord, adam);
  }
}

/** What a read of `ModelState.report` says. */
export interface StepReport<L extends string> {
  readonly tallies: Tallies<L>;
  readonly gradNorm: number;
  /** Whether the gradient's norm is finite; else the device has left the weights as they were. */
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
