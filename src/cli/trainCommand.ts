import type { Options } from 'yargs';
import { lossDescriptions } from '../config/tasks.js';
import { entriesOf } from '../records.js';
import type { RunControls, TrainSummary } from '../train/index.js';
import { jsonOption, print, printJson } from './command.js';
import { TrainProgress, figure, percent, whole } from './trainProgress.js';

/** What the commands that train have in common: progress, signals, and how they tell of the end. */

/** Exit codes of a run that a signal ended, as shells have them: 128 + the signal's number. */
const signals = { SIGINT: 130, SIGTERM: 143 } as const;

/** Options of a command that trains, beside the settings of its run. */
export const trainOptions = {
  resume: {
    type: 'boolean',
    default: false,
    describe: 'go on from the newest checkpoint in --out; start if there is none',
  },
  json: jsonOption,
} as const satisfies Record<string, Options>;

/** Runs a training to its end or to a signal, and tells of it. */
export async function runTraining(
  { json }: { readonly json: boolean },
  start: (controls: RunControls) => Promise<TrainSummary>,
): Promise<void> {
  const progress = new TrainProgress({ stream: process.stderr });
  const stop = stopOnSignal((signal) =>
    progress.line(
      progress.begun
        ? `${signal}: stops after this step and saves; once more ends it at once, unsaved`
        : `${signal}: stops loading; once more ends it at once`,
    ),
  );
  try {
    const summary = await start({ observer: progress.observer, signal: stop.signal });
    progress.end();
    if (json) printJson(toJson(summary));
    else tell(summary).forEach(print);
    if (stop.received && !summary.finished) process.exit(signals[stop.received]);
  } finally {
    progress.end();
    stop.release();
  }
}

/** What the run came to, for people. */
function tell(summary: TrainSummary): string[] {
  const { step, totalSteps, finished, stoppedEarly, checkpoint, best, lastValidation } = summary;
  const of = (steps: number | undefined) => (steps === undefined ? '' : ` of ${whole(steps)}`);
  const accuracies = entriesOf(lastValidation?.accuracy ?? {});
  return [
    finished
      ? stoppedEarly
        ? `Stopped early after step ${whole(step)}${of(totalSteps)}: validation no longer got better.`
        : `All ${whole(step)} steps are done.`
      : `Stopped after step ${whole(step)}${of(totalSteps)}; --resume goes on.`,
    ...(lastValidation
      ? [`Validation after step ${whole(lastValidation.step)}: loss ${figure(lastValidation.loss)}`]
      : []),
    ...accuracies.map(
      ([name, share]) =>
        `  ${`${lossDescriptions.get(name)?.accuracy ?? 'score of the questions'} (${name})`.padEnd(44)}${percent(share).padStart(8)} right`,
    ),
    `Checkpoint: ${checkpoint ?? 'none yet'}`,
    ...(best
      ? [
          `Best validation: after step ${whole(best.step)}, ${best.score === undefined ? `loss ${figure(best.loss)}` : `score ${percent(best.score)}`}`,
        ]
      : []),
  ];
}

function toJson({ lastStep, lastValidation, ...rest }: TrainSummary): object {
  return {
    ...rest,
    ...(lastStep ? { loss: lastStep.loss, losses: lastStep.losses, samplesPerSecond: lastStep.samplesPerSecond } : {}),
    ...(lastValidation ? { validation: lastValidation } : {}),
  };
}

/**
 * Milliseconds in which a second signal is the same wish: a terminal and `timeout` signal the whole group, and a parent
 * such as `npm start` passes it on besides.
 */
const sameWish = 500;

/** The first SIGINT or SIGTERM aborts the signal, the second ends the process, whatever its threads are waiting for. */
function stopOnSignal(tellOf: (signal: string) => void) {
  const controller = new AbortController();
  const state: { received: keyof typeof signals | undefined; at: number } = { received: undefined, at: 0 };
  const listeners = (Object.keys(signals) as (keyof typeof signals)[]).map((signal) => {
    const listener = () => {
      const now = performance.now();
      if (state.received && now - state.at < sameWish) return;
      if (state.received) {
        // An exit would wait for a thread that reads from a pipe, or a disk that does not answer.
        process.off(signal, listener);
        process.kill(process.pid, signal);
        return;
      }
      state.received = signal;
      state.at = now;
      controller.abort();
      tellOf(signal);
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return {
    signal: controller.signal,
    get received() {
      return state.received;
    },
    release: () => listeners.forEach((release) => release()),
  };
}
