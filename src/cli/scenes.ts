import cliProgress from 'cli-progress';
import { renderSvg } from '../pictures/index.js';
import { questionTypes, sceneDefaults, validImages, writeScenes } from '../scenes/index.js';
import type { FineTuningSets, ScenesSummary } from '../scenes/index.js';
import { defineCommand, integerOption, jsonOption, print, printJson } from './command.js';

const keys = [...questionTypes, 'all'] as const;

/** The summary as lines of text: the files that were written, and the score of guessing without the picture. */
function table(out: string, summary: ScenesSummary): string[] {
  const number = (value: number): string => value.toLocaleString('en-US');
  const share = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(3)).padStart(8);
  const { train, valid } = summary.languageOnly;
  const sets = summary.fineTuning;
  const row = (
    name: string,
    count: (set: FineTuningSets) => number,
    guessed: (set: FineTuningSets) => number | undefined,
  ) =>
    name.padEnd(12) +
    number(count(sets.train) + count(sets.valid)).padStart(11) +
    share(guessed(sets.train)) +
    share(guessed(sets.valid));
  return [
    `${out}: ${number(summary.images)} training and ${number(summary.validImages)} validation scenes, ` +
      `${number(summary.sentences)} sentences, ${number(summary.questions)} of them questions; ` +
      `${(summary.bytes / 1e6).toFixed(1)} MB in ${summary.seconds.toFixed(1)} s`,
    '',
    'Questions answered right without the picture (most frequent answer of each template):',
    `${'type'.padEnd(12)}${'questions'.padStart(11)}${'train'.padStart(8)}${'valid'.padStart(8)}`,
    ...keys.map(
      (key) =>
        key.padEnd(12) +
        number((train.questions[key] ?? 0) + (valid.questions[key] ?? 0)).padStart(11) +
        share(train.majority[key]) +
        share(valid.majority[key]),
    ),
    '',
    'The sets for fine-tuning, in the same way:',
    ...[
      row(
        'vqa',
        (set) => set.vqa.questions.all ?? 0,
        (set) => set.vqa.majority.all,
      ),
      row(
        'nlvr2',
        (set) => set.nlvr2.pairs,
        (set) => set.nlvr2.majority,
      ),
    ],
  ];
}

export const command = defineCommand({
  command: 'scenes',
  describe: 'write synthetic scenes with captions and questions',
  builder: (yargs) =>
    yargs
      .option('out', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'folder to write: new, empty, or the same scenes',
      })
      .option(
        'images',
        integerOption('images', {
          min: 1,
          max: 10_000_000,
          default: sceneDefaults.images,
          describe: `training scenes; a tenth as many, at least ${validImages(1)}, for validation`,
        }),
      )
      .option('seed', integerOption('seed', { min: 0, default: sceneDefaults.seed, describe: 'seed of the scenes' }))
      .option(
        'feature-dim',
        integerOption('feature-dim', {
          min: 1,
          max: 16_384,
          default: sceneDefaults.featureDim,
          describe: 'floats of one RoI feature',
        }),
      )
      .option(
        'pictures',
        integerOption('pictures', {
          min: 0,
          max: 10_000_000,
          default: sceneDefaults.pictures,
          describe: 'how many of the first scenes to draw, as SVG',
        }),
      )
      .option('png', {
        type: 'boolean',
        default: false,
        describe: 'draw PNG instead, of both splits, as pictures for a detector; needs the package sharp',
      })
      .option('json', jsonOption),
  handler: async ({ out, images, seed, featureDim, pictures, png, json }) => {
    const bar = new cliProgress.SingleBar(
      { format: 'scenes {bar} {value}/{total}', stream: process.stderr, clearOnComplete: true, hideCursor: true },
      cliProgress.Presets.shades_classic,
    );
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      if (!bar.isActive) bar.start(total, 0);
      bar.update(done);
    };
    const summary = await writeScenes({
      ...{ out, images, seed, featureDim, pictures, onProgress },
      render: png ? renderSvg : undefined,
    }).finally(() => bar.stop());
    if (!json) return table(out, summary).forEach(print);
    const { languageOnly, fineTuning, ...rest } = summary;
    const { vqa, nlvr2 } = fineTuning.valid;
    const setsOnly = { vqa: vqa.majority.all, nlvr2: nlvr2.majority };
    printJson({ ...rest, languageOnlyMajority: languageOnly.valid.majority, fineTuningMajority: setsOnly });
  },
});
