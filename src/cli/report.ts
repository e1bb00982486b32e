import { deviceNames } from '../config/runConfig.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { runPage } from '../page/index.js';
import { LxmertError } from '../errors.js';
import { byteSize } from '../figures.js';
import { fileError } from '../formats/fileErrors.js';
import { checkpointLinks, reportOnScenes } from '../report/index.js';
import type { SceneReport, Score } from '../report/index.js';
import { questionTypes } from '../scenes/index.js';
import { defineCommand, jsonOption, note, print, printJson, threadsOption } from './command.js';
import { percent, whole } from './trainProgress.js';

export const command = defineCommand({
  command: 'report <run>',
  describe: 'measure what a model has learnt: a table for synthetic scenes, or a page for the browser (--html)',
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'run folder of `lxmert pretrain` or, with --html, of `lxmert finetune`',
      })
      .option('html', {
        type: 'string',
        requiresArg: true,
        describe: 'write one self-contained page into this file: curves, results, samples, mistakes, data, settings',
      })
      .option('pictures', {
        type: 'string',
        requiresArg: true,
        describe: 'with --html: folder with the pictures, named IMAGE_ID.jpg, .png, .webp or .svg',
      })
      .option('samples', { type: 'number', default: 12, describe: 'with --html: samples to show; 0: none' })
      .option('questions', {
        type: 'number',
        default: 512,
        describe: 'with --html: most questions among which mistakes are looked for',
      })
      .option('data', { type: 'string', requiresArg: true, describe: 'data folder; default: that of the run' })
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
  handler: async ({ run, data, splits: splitList, checkpoint, device, threads, json, html, ...shown }) => {
    const splits = splitList?.split(',').map((name) => name.trim());
    if (html !== undefined) {
      const { pictures, samples, questions } = shown;
      demandWhole('--samples', samples);
      demandWhole('--questions', questions);
      if (checkpoint !== undefined || json)
        throw new LxmertError(
          'BAD_ARGUMENT',
          `--${json ? 'json' : 'checkpoint'} is not for --html; leave one of them out`,
        );
      const onProgress = (what: string) => note(`looking at ${what} …`);
      const page = await runPage({
        ...{ run, data, splits, pictures, samples, questions, device, threads, onProgress },
      });
      await writePage(html, page);
      return;
    }
    const report = await reportOnScenes({
      ...{ run, checkpoint, data, device, threads },
      splits,
      onProgress: (what) => note(`measuring ${what} …`),
    });
    if (json) printJson(report);
    else table(report).forEach(print);
  },
});

function demandWhole(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new LxmertError('BAD_ARGUMENT', `${name} must be a whole number from 0, not ${value}`);
}

/** Writes a page, and prints its path. @throws FILE_ACCESS */
export async function writePage(path: string, text: string): Promise<void> {
  await writeFileAtomic(path, text).catch((error: unknown) => {
    throw fileError(error, 'write', path);
  });
  print(`${path}: ${byteSize(Buffer.byteLength(text))}. Open it in a browser; it needs no network.`);
}

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
