import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { LanguageOnlyMajority } from './balance.js';
import { createDetector } from './detector.js';
import { fillSceneFolder, signature } from './folder.js';
import { sceneParameters, validImages } from './options.js';
import type { SceneOptions, SceneParameters } from './options.js';
import { allAnswers } from './questions.js';
import { questionsFile, splitFiles, writeSplit } from './splitFiles.js';
import type { FineTuningSets, Render } from './splitFiles.js';
import { vqaAnswers } from './vqaSet.js';
import { colors, shapes, splits } from './world.js';
import type { Split } from './world.js';

export interface WriteScenesOptions extends SceneOptions {
  /** The folder to write. It is made if it does not exist. */
  readonly out: string;
  /** Draws the first scenes of both splits as PNG. If it is absent, the first scenes of training are written as SVG. */
  readonly render?: Render | undefined;
  /** Called several times during the writing, and at the end. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface ScenesSummary {
  /** Numbers of training and validation scenes. */
  readonly images: number;
  readonly validImages: number;
  /** Number of captions and questions of both splits together. */
  readonly sentences: number;
  /** Number of questions of both splits together. */
  readonly questions: number;
  /** Size of all files. */
  readonly bytes: number;
  readonly seconds: number;
  readonly languageOnly: Readonly<Record<Split, LanguageOnlyMajority>>;
  /** For each split, how well the fine-tuning sets can be guessed without the pictures. */
  readonly fineTuning: Readonly<Record<Split, FineTuningSets>>;
}

/** The files with the answer list of the fine-tuning questions, as in the original. */
const vqaFiles = { answers: 'vqa/trainval_label2ans.json', ids: 'vqa/trainval_ans2label.json' } as const;

/** Makes the text of data.yaml, which other commands read: splits, answers and label counts. */
function dataYaml(parameters: SceneParameters): string {
  const description = {
    splits: {
      ...Object.fromEntries(splits.map((split) => [split, splitFiles(split)])),
      questions: { features: splitFiles('train').features, sentences: questionsFile },
    },
    answers: 'all_ans.json',
    objectLabels: shapes.length,
    attributeLabels: colors.length,
  };
  return `${signature(parameters)}\n${stringify(description)}`;
}

/**
 * Writes a synthetic data set in the original's formats: `train.tsv`, `train.json`, `valid.tsv`, `valid.json`,
 * `all_ans.json`, `data.yaml` and a few pictures; for fine-tuning `vqa/{train,valid}.json` with a separate answer list and
 * `nlvr2/{train,valid}.json`; and `questions.json`, with only the questions of the training scenes. Memory does not depend
 * on the number of scenes.
 * @throws BAD_ARGUMENT for a parameter out of range or a folder with other contents; FILE_ACCESS
 */
export async function writeScenes({ out, onProgress, render, ...given }: WriteScenesOptions): Promise<ScenesSummary> {
  const parameters = sceneParameters(given);
  const { images, seed, pictures, featureDim } = parameters;
  const started = performance.now();
  const counts: Readonly<Record<Split, number>> = { train: images, valid: validImages(images) };
  const total = counts.train + counts.valid;
  const detector = createDetector(featureDim);

  const { bytes, train, valid } = await fillSceneFolder(out, parameters, async (folder) => {
    const writeOne = (split: Split, first: number) =>
      writeSplit({
        folder,
        split,
        seed,
        detector,
        count: counts[split],
        pictures: split === 'train' || render ? Math.min(pictures, counts[split]) : 0,
        render,
        onScenes: (done) => onProgress?.({ done: first + done, total }),
      });
    const train = await writeOne('train', 0);
    const valid = await writeOne('valid', counts.train);
    const answers = allAnswers.map((ans) => ({ ans, dsets: ['vqa'] }));
    await writeFile(join(folder, 'all_ans.json'), `${JSON.stringify(answers, null, 1)}\n`);
    await writeFile(join(folder, vqaFiles.answers), `${JSON.stringify(vqaAnswers)}\n`);
    const ids = Object.fromEntries(vqaAnswers.map((answer, id) => [answer, id]));
    await writeFile(join(folder, vqaFiles.ids), `${JSON.stringify(ids)}\n`);
    await writeFile(join(folder, 'data.yaml'), dataYaml(parameters));
    let bytes = train.pictureBytes + valid.pictureBytes;
    const files = splits.flatMap((split) => Object.values(splitFiles(split)));
    for (const file of [...files, ...Object.values(vqaFiles), questionsFile, 'all_ans.json', 'data.yaml']) {
      bytes += (await stat(join(folder, file))).size;
    }
    return { bytes, train, valid };
  });

  const questions = train.questions + valid.questions;
  return {
    images: counts.train,
    validImages: counts.valid,
    sentences: train.captions + valid.captions + questions,
    questions,
    bytes,
    seconds: (performance.now() - started) / 1000,
    languageOnly: { train: train.languageOnly, valid: valid.languageOnly },
    fineTuning: { train: train.fineTuning, valid: valid.fineTuning },
  };
}
