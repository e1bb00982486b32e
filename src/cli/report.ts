import { deviceNames } from '../config/runConfig.js';
import { checkpointLinks, reportOnScenes } from '../report/index.js';
import type { SceneReport, Score } from '../report/index.js';
import { questionTypes } from '../scenes/index.js';
import { defineCommand, jsonOption, note, print, printJson, threadsOption } from './command.js';
import { percent, whole } from './trainProgress.js';

export const command = defineCommand({
  command: 'report <run>',
  describe: 'measure what a model has learnt about synthetic scenes, compared with guessing',
  builder: (yargs) =>
    yargs
      .positional('run', { type: 'string', demandOption: true, describe: 'run folder of `lxmert pretrain`' })
      .option('data', { type: 'string', requiresArg: true, describe: 'folder with scenes; default: that of the run' })
      .option('splits', {
        type: 'string',
        requiresArg: true,
        describe: 'splits, separated by commas; default: the validation splits of the run',
      })
      .option('checkpoint', {
        choices: checkpointLinks,
        describe: 'which checkpoint of the run; default: the best by validation loss',
      })
      .option('device', { choices: deviceNames, default: 'auto' as const, describe: 'where to compute' })
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async ({ run, data, splits, checkpoint, device, threads, json }) => {
    const report = await reportOnScenes({
      ...{ run, checkpoint, data, device, threads },
      splits: splits?.split(',').map((name) => name.trim()),
      onProgress: (what) => note(`measuring ${what} …`),
    });
    if (json) printJson(report);
    else table(report).forEach(print);
  },
});

const columns = [10, 9, 10] as const;

function line(what: string, cells: readonly string[]): string {
  return what.padEnd(38) + cells.map((cell, i) => cell.padStart(columns[i])).join('');
}

const row = (what: string, score: Score | undefined): string[] =>
  score ? [line(what, [whole(score.asked), percent(score.right), percent(score.floor)])] : [];

/** The report as lines of text. */
function table(report: SceneReport): string[] {
  const { words, objectClass, attribute, matching, questions } = report;
  return [
    `${report.checkpoint} on ${whole(report.scenes)} scenes of ${report.data} (${report.splits.join(', ')}):`,
    '',
    line('', ['asked', 'right', 'floor']),
    ...row('hidden word of a caption', words),
    ...row('class of a hidden object', objectClass),
    ...row('attribute (color) of a hidden object', attribute),
    ...row('sentence and picture belong together', matching),
    ...row('questions', questions?.all),
    ...questionTypes.flatMap((type) => row(`  ${type}`, questions?.[type])),
    '',
    'Floor: for words, the same words with the picture of another scene; for the rest, the most frequent answer',
    '(of each question template). Results above the floor come from the picture.',
  ];
}
