import type { Options } from 'yargs';
import { lossDescriptions } from '../config/tasks.js';
import { pretrain, pretrainParts } from '../pretrain/index.js';
import { entriesOf } from '../records.js';
import type { TrainSummary } from '../train/index.js';
import { defineCommand, jsonOption, print, printJson } from './command.js';
import { runSources, withRunFlags } from './runFlags.js';
import { listenToSignals } from './runSignals.js';
import { TrainProgress, figure, percent, whole } from './trainProgress.js';

const own = {
  resume: {
    type: 'boolean',
    default: false,
    describe: 'go on from the newest checkpoint in --out; start if there is none',
  },
  'ignore-hangup': {
    type: 'boolean',
    default: false,
    describe: 'go on when the terminal is closed (SIGHUP), as with nohup; otherwise the run saves and ends',
  },
  json: jsonOption,
} as const satisfies Record<string, Options>;

export const command = defineCommand({
  command: 'pretrain',
  describe: 'pre-train a model',
  builder: (yargs) => withRunFlags(yargs).options(own).group(Object.keys(own), 'Run:'),
  handler: async (args) => {
    const progress = new TrainProgress({ stream: process.stderr });
    const signals = listenToSignals({
      ignoreHangup: args.ignoreHangup,
      ending: (reason) =>
        progress.line(
          progress.begun
            ? `${reason}: stops after this step and saves; once more ends it at once, unsaved`
            : `${reason}: stops loading; once more ends it at once`,
        ),
      saving: (signal) =>
        progress.line(`${signal}: saves after ${progress.begun ? 'this' : 'the first'} step, and goes on`),
      ignored: () => progress.line('SIGHUP: goes on (--ignore-hangup)'),
    });
    try {
      const { signal, saveRequest } = signals;
      const summary = await pretrain(
        { sources: runSources(args), resume: args.resume, observer: progress.observer, signal, saveRequest },
        pretrainParts,
      );
      progress.end();
      if (args.json) printJson(toJson(summary));
      else describeSummary(summary).forEach(print);
      if (signals.exitCode !== undefined && !summary.finished) process.exit(signals.exitCode);
    } finally {
      progress.end();
      signals.release();
    }
  },
});

const accuracyLine = (what: string, share: number): string => `${what.padEnd(50)}${percent(share).padStart(8)} right`;

/** The result of a run as lines of text. */
function describeSummary(summary: TrainSummary): string[] {
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
    ...accuracies.flatMap(([name, share]) => [
      accuracyLine(`  ${lossDescriptions.get(name)?.accuracy ?? 'loss'} (${name})`, share),
      ...entriesOf(lastValidation?.accuracyBySet?.[name] ?? {}).map(([set, ofSet]) =>
        accuracyLine(`    ${set}`, ofSet),
      ),
    ]),
    `Checkpoint: ${checkpoint ?? 'none yet'}`,
    ...(best ? [`Best validation: after step ${whole(best.step)}, loss ${figure(best.loss)}`] : []),
  ];
}

function toJson({ lastStep, lastValidation, ...rest }: TrainSummary): object {
  const { loss, losses, samplesPerSecond } = lastStep ?? {};
  return { ...rest, loss, losses, samplesPerSecond, validation: lastValidation };
}
