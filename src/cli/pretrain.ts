import type { Options } from 'yargs';
import { lossDescriptions } from '../config/tasks.js';
import { pretrain, pretrainParts } from '../pretrain/index.js';
import { entriesOf } from '../records.js';
import type { TrainSummary } from '../train/index.js';
import { defineCommand, jsonOption, print, printJson } from './command.js';
import { runSources, withRunFlags } from './runFlags.js';
import { TrainProgress, figure, percent, whole } from './trainProgress.js';

/** Exit codes of a run that a signal ended, as shells have them: 128 + the signal's number. */
const signals = { SIGINT: 130, SIGTERM: 143 } as const;

const own = {
  resume: {
    type: 'boolean',
    default: false,
    describe: 'go on from the newest checkpoint in --out; start if there is none',
  },
  json: jsonOption,
} as const satisfies Record<string, Options>;

export const command = defineCommand({
  command: 'pretrain',
  describe: 'pre-train a model',
  builder: (yargs) => withRunFlags(yargs).options(own).group(Object.keys(own), 'Run:'),
  handler: async (args) => {
    const progress = new TrainProgress({ stream: process.stderr });
    const stop = stopOnSignal((signal) =>
      progress.line(
        progress.begun
          ? `${signal}: stops after this step and saves; once more ends it at once, unsaved`
          : `${signal}: stops loading; once more ends it at once`,
      ),
    );
    try {
      const summary = await pretrain(
        {
          sources: runSources(args),
          resume: args.resume,
          observer: progress.observer,
          signal: stop.signal,
        },
        pretrainParts,
      );
      progress.end();
      if (args.json) printJson(toJson(summary));
      else tell(summary).forEach(print);
      if (stop.received && !summary.finished) process.exit(signals[stop.received]);
    } finally {
      progress.end();
      stop.release();
    }
  },
});

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
        `  ${`${lossDescriptions.get(name)?.accuracy ?? 'loss'} (${name})`.padEnd(44)}${percent(share).padStart(8)} right`,
    ),
    `Checkpoint: ${checkpoint ?? 'none yet'}`,
    ...(best ? [`Best validation: after step ${whole(best.step)}, loss ${figure(best.loss)}`] : []),
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
