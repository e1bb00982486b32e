import type { ConfigTree } from '../config/presets.js';
import { LxmertError } from '../errors.js';
import { CheckpointStore } from './checkpointStore.js';
import { lastValidation } from './metrics.js';
import type { TrainObserver } from './observer.js';
import { lookIntoRun, newestState, placeOf, RunFolder } from './runFolder.js';
import type { RunPlace } from './runFolder.js';
import { totalSteps } from './schedule.js';
import type { SaveRequest, TrainRanks } from './ranks.js';
import type { TrainSettings } from './trainable.js';
import type { TrainSummary } from './trainOptions.js';
import { isFinished, withEnd } from './trainerState.js';
import type { TrainerState } from './trainerState.js';

/** How a caller observes a run, and ends it. */
export interface RunControls {
  readonly observer?: TrainObserver | undefined;
  /**
   * Ends the run. Before the first step, the run ends at once. Later, it ends after the current step, with a
   * checkpoint.
   */
  readonly signal?: AbortSignal | undefined;
  /** Asks for a checkpoint while the run continues. */
  readonly saveRequest?: SaveRequest | undefined;
  /** The processes that train together; absent if there is only this process. With ranks, `ranks.signal` is used. */
  readonly ranks?: TrainRanks | undefined;
}

/** A run to be started or resumed in its folder. `C`: its description. */
export interface RunRequest<C extends TrainSettings> extends RunControls {
  readonly out: string;
  /** Continue from the newest checkpoint of the run folder; start from step 0 if there is none. */
  readonly resume: boolean;
  /** Makes the description. `saved` is the description with which a run that is resumed was started. */
  readonly describe: (saved: ConfigTree | undefined) => Promise<C>;
  /** One text for each setting in which a resumed run would differ from its beginning. */
  readonly changes: (saved: ConfigTree, now: C) => readonly string[];
  /** Checks a new run before it opens its data, which may take minutes. */
  readonly check: (config: C) => Promise<void>;
  /** Opens data and model, and trains. */
  readonly train: (config: C, run: RunPlace, from: TrainerState | undefined) => Promise<TrainSummary>;
}

/**
 * Locks the run folder, finds the checkpoint to continue from, and trains. If there are several ranks, only the first
 * rank uses the folder, and sends its contents to the other ranks.
 * @throws BAD_CONFIG (the description of a resumed run differs), RUN_FOLDER, and the errors of `describe` and `train`
 */
export async function trainInFolder<C extends TrainSettings>(request: RunRequest<C>): Promise<TrainSummary> {
  const { out, resume, observer, signal, ranks } = request;
  const isFirst = !ranks || ranks.rank === 0;
  /** Runs `find` on the first rank, and returns its result on all ranks. */
  const shared = async <T>(name: string, find: () => Promise<T>): Promise<T> => {
    if (!ranks) return find();
    const [found] = await ranks.exchange<T | null>(name, isFirst ? await find() : null);
    return (found ?? undefined) as T;
  };
  const saved = resume ? await shared('saved', async () => (await lookIntoRun(out)).config) : undefined;
  const config = await request.describe(saved);
  const demandUnchanged = (from: ConfigTree): void => {
    const changes = request.changes(from, config);
    if (changes.length > 0)
      throw new LxmertError(
        'BAD_CONFIG',
        `the run in ${out} cannot continue with other settings:\n  ${changes.join('\n  ')}\nLeave them out, or start another run with another --out`,
      );
  };

  const newest = resume ? await shared('newest', () => newestState(out)) : undefined;
  const planned = newest && withEnd(newest, totalSteps(config, newest.schedule.batchesPerEpoch));
  if (planned && isFinished(planned, config.earlyStop) && saved) {
    demandUnchanged(saved);
    return isFirst ? summaryOfFinished(out, planned, observer) : summaryOf(out, planned);
  }

  const run = isFirst ? await RunFolder.open(out, { resume }) : undefined;
  let from: TrainerState | undefined;
  try {
    from = await shared('from', async () => run?.newestState());
    if (from && !saved)
      throw new LxmertError(
        'RUN_FOLDER',
        `${out} has checkpoints but no config.json, so the run cannot continue; give another --out`,
      );
    if (from && saved) demandUnchanged(saved);
    if (resume && !from) observer?.note?.(`${out} has no checkpoint: the run starts from step 0`);
    if (!from) await request.check(config);
    return await request.train(config, run ?? placeOf(out), from);
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error;
    // No step was made, so there is nothing new to save.
    return summaryOf(out, from);
  } finally {
    await run?.close();
  }
}

async function summaryOfFinished(
  out: string,
  state: TrainerState,
  observer: TrainObserver | undefined,
): Promise<TrainSummary> {
  const stoppedEarly = state.step < state.schedule.totalSteps;
  observer?.note?.(
    `${out} is finished: ${stoppedEarly ? `it stopped early, after step ${state.step}` : `all ${state.step} steps are done`}`,
  );
  return {
    ...summaryOf(out, state),
    ...{ finished: true, stoppedEarly },
    lastValidation: await lastValidation(`${out}/metrics.jsonl`),
  };
}

/** The summary of a run that made no step in this process. It is made from the newest checkpoint. */
function summaryOf(out: string, state: TrainerState | undefined): TrainSummary {
  if (!state) return { step: 0, finished: false, stoppedEarly: false };
  const { step, schedule, best } = state;
  return {
    ...{ step, totalSteps: schedule.totalSteps, finished: false, stoppedEarly: false },
    checkpoint: new CheckpointStore(`${out}/checkpoints`, { keep: 1 }).path(step),
    best,
  };
}
