import { examplesOf } from '../data/batches/batch.js';
import type { BatchPosition, PositionedBatch } from '../data/batches/batching.js';
import { LxmertError, isLxmertError } from '../errors.js';
import type { StepResult } from '../step/losses.js';
import type { StepRecord } from './metrics.js';
import { Milestones } from './milestones.js';
import { findNonFinite } from './nonFinite.js';
import { demandSameFacts } from './ranks.js';
import { learningRate } from './schedule.js';
import { factsOf } from './facts.js';
import type { NonFinite } from './nonFinite.js';
import type { TrainRanks } from './ranks.js';
import type { TrainOptions, TrainSummary } from './trainOptions.js';
import { demandCount } from '../numbers.js';
import { after, stopsEarly } from './trainerState.js';

/**
 * Runs the optimizer steps of a run, from its start or a checkpoint, to its end or a signal.
 * @throws BAD_ARGUMENT if the source gives a wrong batch, before anything is computed with that batch;
 *   NOT_FINITE, and the errors of model, source and files
 */
export async function train(options: TrainOptions): Promise<TrainSummary> {
  demandCount('batchesPerEpoch of the data source', options.training.source.batchesPerEpoch);
  await shareSteps(options);
  const milestones = await Milestones.prepare(options, () => beginTogether(options));
  try {
    return await new Trainer(options, milestones).run();
  } finally {
    await milestones.close();
  }
}

const sharingOf = (ranks: TrainRanks | undefined) =>
  ranks && {
    communicator: ranks.communicator,
    bucketBytes: ranks.bucketBytes,
    shardOptimizer: ranks.shardOptimizer,
    exchange: <T>(name: string, value: T) => ranks.exchange(name, value),
  };

/** Tells the model how the ranks share its steps. */
async function shareSteps({ settings, training, ranks }: TrainOptions): Promise<void> {
  const { rank, ranks: count } = ranks ?? { rank: 0, ranks: 1 };
  const { gradientParts = count } = settings;
  if (!ranks && settings.gradientParts === undefined) return;
  const { model } = training;
  if (!model.share) throw new LxmertError('UNSUPPORTED', 'this model cannot share its steps with other ranks');
  const sameBits = settings.gradientParts !== undefined;
  await model.share({ rank, ranks: count, parts: gradientParts, sameBits, ...sharingOf(ranks) });
}

/** Checks that all ranks begin with the same facts. */
async function beginTogether({ settings, training, ranks }: TrainOptions): Promise<void> {
  if (!ranks) return;
  const { bucketBytes, shardOptimizer } = ranks;
  const ownOptions = { '--bucket-size': bucketBytes && bucketBytes / 1e6, '--shard-optimizer': shardOptimizer };
  await demandSameFacts(ranks, { ...(await factsOf(settings, training)), ...ownOptions });
  await ranks.begin();
}

/** A step whose results are not known yet. */
interface Flight {
  readonly batch: PositionedBatch;
  readonly step: number;
  readonly lr: number;
  /** The results, and the time at which they were known (`performance.now()`). */
  readonly result: Promise<{ readonly outcome: StepResult<string>; readonly at: number }>;
}

/** The training loop. While the device computes a step, the next batch is assembled and the previous step is recorded. */
class Trainer {
  readonly #options: TrainOptions;
  readonly #milestones: Milestones;
  /** When the previous step was done, for samples per second. */
  #clock = performance.now();

  constructor(options: TrainOptions, milestones: Milestones) {
    this.#options = options;
    this.#milestones = milestones;
  }

  async run(): Promise<TrainSummary> {
    const { ranks, training } = this.#options;
    const { source } = training;
    const milestones = this.#milestones;
    await milestones.catchUp();
    const { step: first, position, schedule } = milestones.state;
    const { totalSteps, batchesPerEpoch } = schedule;
    let expected = position;
    const batches = source.train(position)[Symbol.asyncIterator]();
    try {
      let next = quiet(batches.next());
      let flight: Flight | undefined;
      this.#clock = performance.now();
      for (let step = first; step < totalSteps; step++) {
        await ranks?.agree();
        if (this.#over()) break;
        const turn = await next;
        if (turn.done)
          throw new LxmertError('BAD_ARGUMENT', `the data source ended before step ${step + 1}; it must not end`);
        demandBatch(turn.value, expected, this.#sharesSteps);
        expected = after(expected, batchesPerEpoch);
        const started = this.#start(step, turn.value);
        if (step + 1 < totalSteps) next = quiet(batches.next());
        if (flight) await this.#land(flight);
        flight = started;
        if (milestones.isDue(step + 1, flight.batch.position)) {
          await this.#land(flight);
          flight = undefined;
          await milestones.pause();
          this.#clock = performance.now();
        }
      }
      if (flight) await this.#land(flight);
    } finally {
      await batches.return?.();
    }
    return milestones.finish();
  }

  /** Whether the run ends before its last step. */
  #over(): boolean {
    const { settings, signal } = this.#options;
    return !!signal?.aborted || stopsEarly(this.#milestones.state, settings.earlyStop);
  }

  /** Enqueues a step. Its errors are thrown by `#land`. */
  #start(step: number, batch: PositionedBatch): Flight {
    const { settings, training } = this.#options;
    const { totalSteps } = this.#milestones.state.schedule;
    const lr = learningRate(step, { ...settings.optimizer, totalSteps });
    const weights = training.weights(batch.position.epoch);
    const result = training.model
      .step(batch.parts, { step, learningRate: lr, seed: settings.seed, weights, partOf: batch.partOf })
      .then((outcome) => ({ outcome, at: performance.now() }));
    return { batch, step, lr, result: quiet(result) };
  }

  /** Waits until a step is done, and records it. */
  async #land(flight: Flight): Promise<void> {
    const { batch, step, lr } = flight;
    const { source } = this.#options.training;
    const { outcome, at } = await flight.result.catch((error: unknown) => this.#explain(error, flight));
    batch.parts.forEach((part) => source.release(part));
    const { examples: samples = batch.parts.reduce((sum, part) => sum + examplesOf(part), 0) } = outcome;
    const record: StepRecord = {
      step: step + 1,
      epoch: batch.position.epoch,
      lr,
      loss: outcome.loss,
      losses: outcome.losses,
      gradNorm: outcome.gradNorm,
      samplesPerSecond: Number(((1000 * samples) / Math.max(at - this.#clock, 0.001)).toPrecision(5)),
    };
    this.#clock = at;
    await this.#milestones.stepDone(record, batch.position);
  }

  /** If the error is NOT_FINITE, finds the samples that caused it, with the weights before the step. */
  async #explain(error: unknown, { batch, step }: Flight): Promise<never> {
    if (!isLxmertError(error) || error.code !== 'NOT_FINITE') throw error;
    const { ranks, training } = this.#options;
    const { model, weights } = training;
    const found = await findNonFinite(model, batch.parts, weights(batch.position.epoch));
    const where = ranks ? await overRanks(ranks, found) : found.text;
    const explained = new LxmertError(
      'NOT_FINITE',
      `step ${step + 1}: ${where}; the run stops, ${this.#milestones.kept}. A lower learning rate often helps; if it ` +
        'happens in the first steps, look at the features of these samples',
      { cause: error },
    );
    throw ranks?.common(explained) ?? explained;
  }

  /** Whether other ranks compute parts of a global batch, so that this process may have none. */
  get #sharesSteps(): boolean {
    const { ranks, settings } = this.#options;
    return ranks !== undefined || settings.gradientParts !== undefined;
  }
}

/** Joins the texts of the ranks that found a loss that is not finite. Each rank has searched only its own samples. */
async function overRanks(ranks: TrainRanks, found: NonFinite): Promise<string> {
  const all = await ranks.exchange('nonFinite', found);
  const named = all.map(({ text, isLoss }, i) => ({ text: `${text} (${ranks.nameOf(i)})`, isLoss }));
  const losses = named.filter(({ isLoss }) => isLoss);
  return (losses.length > 0 ? losses : named.slice(0, 1)).map(({ text }) => text).join('; ');
}

/** @throws BAD_ARGUMENT if the data source gave another batch than the requested one, or an empty batch */
function demandBatch({ position, parts }: PositionedBatch, { epoch, batch }: BatchPosition, mayBeEmpty: boolean): void {
  if (position.epoch !== epoch || position.batch !== batch)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `the data source gave batch ${position.batch} of epoch ${position.epoch}; batch ${batch} of epoch ${epoch} was expected`,
    );
  if (parts.length === 0 && !mayBeEmpty)
    throw new LxmertError('BAD_ARGUMENT', `batch ${batch} of epoch ${epoch} has no parts; it needs at least one`);
}

/** Marks a rejection as handled: it is thrown again where the promise is awaited later. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
