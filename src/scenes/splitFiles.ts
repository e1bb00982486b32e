import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AnswerBalance, LanguageOnlyTally } from './balance.js';
import type { LanguageOnlyMajority } from './balance.js';
import type { Detector } from './detector.js';
import { svg } from './picture.js';
import { createRandom } from './random.js';
import { makeSentences } from './sentences.js';
import type { Sentences } from './sentences.js';
import { tsvLine } from './tsv.js';
import { makeScene, sceneKey, streams } from './world.js';
import type { Scene, Split } from './world.js';

export interface SplitOptions {
  readonly folder: string;
  readonly split: Split;
  /** Scenes. */
  readonly count: number;
  /** How many of the first are drawn. */
  readonly pictures: number;
  readonly seed: number;
  readonly detector: Detector;
  readonly onScenes: (done: number) => void;
}

export interface SplitResult {
  readonly captions: number;
  readonly questions: number;
  readonly pictureBytes: number;
  readonly languageOnly: LanguageOnlyMajority;
}

/** What the files call the two kinds of sentences. */
export const sentenceSets = { captions: 'captions', questions: 'vqa' } as const;

/** Scenes between two writes. */
const block = 256;

/** One entry of the original's pre-training JSON: questions under `vqa`, their scored answers in the same order. */
function jsonEntry(scene: Scene, { captions, questions }: Sentences): string {
  return JSON.stringify({
    img_id: scene.id,
    sentf: { [sentenceSets.captions]: captions, [sentenceSets.questions]: questions.map(({ sentence }) => sentence) },
    labelf: { [sentenceSets.questions]: questions.map(({ answer }) => ({ [answer]: 1 })) },
  });
}

/** Writes SPLIT.tsv, SPLIT.json and the pictures into a folder, a block of scenes at a time. */
export async function writeSplit(options: SplitOptions): Promise<SplitResult> {
  const { folder, split, count, seed, detector } = options;
  const balance = new AnswerBalance();
  const tally = new LanguageOnlyTally();
  const sums = { captions: 0, questions: 0, pictureBytes: 0 };
  if (options.pictures > 0) await mkdir(join(folder, 'pictures'));
  await using features = await open(join(folder, `${split}.tsv`), 'w');
  await using texts = await open(join(folder, `${split}.json`), 'w');
  for (let from = 0; from < count; from += block) {
    const to = Math.min(from + block, count);
    const lines: string[] = [];
    const entries: string[] = [];
    for (let index = from; index < to; index += 1) {
      const scene = makeScene(seed, split, index);
      const sentences = makeSentences(scene, { seed, split, index, balance });
      const found = detector.detect(scene, createRandom(...sceneKey(seed, split, index, streams.detector)));
      lines.push(tsvLine(scene, found));
      entries.push(`${index === 0 ? '[' : ','}\n${jsonEntry(scene, sentences)}`);
      sums.captions += sentences.captions.length;
      sums.questions += sentences.questions.length;
      for (const question of sentences.questions) tally.add(question);
      if (index < options.pictures) {
        const picture = svg(
          scene,
          [...sentences.captions, ...sentences.questions.map(({ sentence, answer }) => `${sentence} ${answer}`)].join(
            '\n',
          ),
        );
        await writeFile(join(folder, 'pictures', `${scene.id}.svg`), picture);
        sums.pictureBytes += Buffer.byteLength(picture);
      }
    }
    await features.writeFile(lines.join(''));
    await texts.writeFile(entries.join('') + (to === count ? '\n]\n' : ''));
    options.onScenes(to);
  }
  return { ...sums, languageOnly: tally.result() };
}
