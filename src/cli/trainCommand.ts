import type { Options } from 'yargs';
import { lossDescriptions } from '../config/tasks.js';
import { entriesOf } from '../records.js';
import type { RunControls, TrainSummary } from '../train/index.js';
import type { Placement } from '../distributed/index.js';
import { jsonOption, print, printJson } from './command.js';
import { launch, rankOptions, roleBy, type RankArguments } from './rankOptions.js';
import { asRank } from './rankProcess.js';
import { listenToSignals } from './runSignals.js';
import { TrainProgress, figure, percent, whole } from './trainProgress.js';

/** Shared parts of all commands that train: options, progress, signals, and the summary at the end. */

/** Options of a command that trains, in addition to the settings of its run. */
export const trainOptions = {
  resume: {
    type: 'boolean',
    default: false,
    describe: 'continue from the newest checkpoint in --out; start from step 0 if there is none',
  },
  'ignore-hangup': {
    type: 'boolean',
    default: false,
    describe: 'continue after the terminal is closed (SIGHUP), as with nohup; otherwise the run saves and ends',
  },
  json: jsonOption,
  ...rankOptions,
} as const satisfies Record<string, Options>;

interface TrainArguments extends RankArguments {
  readonly json: boolean;
  readonly ignoreHangup: boolean;
}

type Start = (controls: RunControls) => Promise<TrainSummary>;

/** Runs a training to its end or to a signal, alone or as one of several ranks, and prints its summary. */
export async function runTraining(args: TrainArguments, start: Start): Promise<void> {
  const role = roleBy(args);
  if (role.kind === 'alone') return runAlone(args, start);
  if (role.kind === 'rank') return runRank(args, role, start);
  process.exitCode = await launch(role.ranks, args);
}

async function runRank(args: TrainArguments, placement: Placement, start: Start): Promise<void> {
  const progress = new TrainProgress({ stream: process.stderr });
  await asRank(args, placement, {
    ignoreHangup: args.ignoreHangup,
    stopping: (reason) => progress.line(endingLine(reason, progress.begun)),
    saving: () => progress.line('saves after this step, and goes on'),
    work: (ranks, isFirst) => {
      const { signal, saveRequest } = ranks;
      return start({ observer: isFirst ? progress.observer : undefined, signal, saveRequest, ranks });
    },
    finish: (summary, ranks) => {
      if (ranks.rank === 0) tell(args, summary);
      if (ranks.stopCode !== undefined && !summary.finished) process.exit(ranks.stopCode);
    },
    release: () => progress.end(),
  });
}

function tell({ json }: Pick<TrainArguments, 'json'>, summary: TrainSummary): void {
  if (json) printJson(toJson(summary));
  else describeSummary(summary).forEach(print);
}

const endingLine = (reason: string, begun: boolean): string =>
  begun
    ? `${reason}: stops after this step and saves; a second signal ends it at once, without saving`
    : `${reason}: stops loading; a second signal ends it at once`;

async function runAlone({ json, ignoreHangup }: TrainArguments, start: Start): Promise<void> {
  const progress = new TrainProgress({ stream: process.stderr });
  const signals = listenToSignals({
    ignoreHangup,
    ending: (reason) => progress.line(endingLine(reason, progress.begun)),
    saving: (signal) =>
      progress.line(`${signal}: saves after ${progress.begun ? 'this' : 'the first'} step, and continues`),
    ignored: () => progress.line('SIGHUP: continues (--ignore-hangup)'),
  });
  try {
    const { signal, saveRequest } = signals;
    const summary = await start({ observer: progress.observer, signal, saveRequest });
    progress.end();
    tell({ json }, summary);
    if (signals.exitCode !== undefined && !summary.finished) process.exit(signals.exitCode);
  } finally {
    progress.end();
    signals.release();
  }
}

const accuracyLine = (what: string, share: number): string => `${what.padEnd(50)}${percent(share).padStart(8)} right`;

/** The result of a run as lines of text. */
function describeSummary(summary: TrainSummary): string[] {
  const { step, totalSteps, finished, stoppedEarly, checkpoint, best, lastValidation } = summary;
  const of = (steps: number | undefined) => (steps === undefined ? '' : ` of ${whole(steps)}`);
  const accuracies = entriesOf(lastValidation?.accuracy ?? {});
  const bestBy = best && (best.score === undefined ? `loss ${figure(best.loss)}` : `score ${percent(best.score)}`);
  return [
    finished
      ? stoppedEarly
        ? `Stopped early after step ${whole(step)}${of(totalSteps)}: the validation did not get better.`
        : step === 1
          ? 'The only step is done.'
          : `All ${whole(step)} steps are done.`
      : `Stopped after step ${whole(step)}${of(totalSteps)}; --resume continues the run.`,
    ...(lastValidation
      ? [`Validation after step ${whole(lastValidation.step)}: loss ${figure(lastValidation.loss)}`]
      : []),
    ...accuracies.flatMap(([name, share]) => [
      accuracyLine(`  ${lossDescriptions.get(name)?.accuracy ?? 'score of the questions'} (${name})`, share),
      ...entriesOf(lastValidation?.accuracyBySet?.[name] ?? {}).map(([set, ofSet]) =>
        accuracyLine(`    ${set}`, ofSet),
      ),
    ]),
    `Checkpoint: ${checkpoint ?? 'none yet'}`,
    ...(best ? [`Best validation: after step ${whole(best.step)}, ${bestBy}`] : []),
  ];
}

function toJson({ lastStep, lastValidation, ...rest }: TrainSummary): object {
  const { loss, losses, samplesPerSecond } = lastStep ?? {};
  return { ...rest, loss, losses, samplesPerSecond, validation: lastValidation };
}
