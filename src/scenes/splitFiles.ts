import { mkdir, open, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { AnswerBalance, LanguageOnlyTally } from './balance.js';
import type { LanguageOnlyMajority } from './balance.js';
import type { Detector } from './detector.js';
import { PairTally, pairEntries, scenesPerSet } from './pairSet.js';
import { svg } from './picture.js';
import { createRandom } from './random.js';
import { makeSentences } from './sentences.js';
import type { Sentences } from './sentences.js';
import { tsvLine } from './tsv.js';
import { createVqaSet } from './vqaSet.js';
import { makeScene, sceneKey, streams } from './world.js';
import type { Scene, Split } from './world.js';

/** Draws an SVG picture as PNG. */
export type Render = (svg: string) => Promise<Uint8Array>;

export interface SplitOptions {
  readonly folder: string;
  readonly split: Split;
  /** Number of scenes. */
  readonly count: number;
  /** Number of scenes, from the first on, that are drawn as pictures. */
  readonly pictures: number;
  /** Converts an SVG to a PNG, which is written instead of the SVG. */
  readonly render: Render | undefined;
  readonly seed: number;
  readonly detector: Detector;
  readonly onScenes: (done: number) => void;
}

export interface SplitResult {
  readonly captions: number;
  readonly questions: number;
  readonly pictureBytes: number;
  readonly languageOnly: LanguageOnlyMajority;
  readonly fineTuning: FineTuningSets;
}

/** How well the fine-tuning sets of one split can be guessed without the pictures. */
export interface FineTuningSets {
  readonly vqa: LanguageOnlyMajority;
  readonly nlvr2: ReturnType<PairTally['result']>;
}

/** The names of the two kinds of sentences in the files. */
export const sentenceSets = { captions: 'captions', questions: 'vqa' } as const;

/** Number of scenes that are written at a time. */
const block = 256;

/** Makes one entry of the original's pre-training JSON. `vqa` has the questions, with their scored answers in the same order. */
function jsonEntry(scene: Scene, { captions, questions }: Sentences): string {
  return JSON.stringify({
    img_id: scene.id,
    sentf: { [sentenceSets.captions]: captions, [sentenceSets.questions]: questions.map(({ sentence }) => sentence) },
    labelf: { [sentenceSets.questions]: questions.map(({ answer }) => ({ [answer]: 1 })) },
  });
}

/** The files of a split, for data.yaml. */
export const splitFiles = (split: Split) =>
  ({
    features: `${split}.tsv`,
    sentences: `${split}.json`,
    vqa: `vqa/${split}.json`,
    nlvr2: `nlvr2/${split}.json`,
  }) as const;

/** The file with only the questions of the training scenes, for the first part of pre-training. */
export const questionsFile = 'questions.json';

/** Writes a JSON list in parts, with one element a line. */
class JsonListFile {
  readonly #file: FileHandle;
  #elements: string[] = [];
  #begun = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  add(element: string): void {
    this.#elements.push(`${this.#begun || this.#elements.length > 0 ? ',' : '['}\n${element}`);
  }

  async write(): Promise<void> {
    if (this.#elements.length === 0) return;
    await this.#file.writeFile(this.#elements.join(''));
    this.#elements = [];
    this.#begun = true;
  }

  async end(): Promise<void> {
    await this.write();
    await this.#file.writeFile(this.#begun ? '\n]\n' : '[]\n');
  }
}

/** Writes the files and the pictures of a split into a folder, a block of scenes at a time. */
export async function writeSplit(options: SplitOptions): Promise<SplitResult> {
  const { folder, split, count, seed, detector } = options;
  const names = splitFiles(split);
  const balance = new AnswerBalance();
  const tally = new LanguageOnlyTally();
  const vqa = createVqaSet(seed, split);
  const pairTally = new PairTally();
  const sums = { captions: 0, questions: 0, pictureBytes: 0 };
  if (options.pictures > 0) await mkdir(join(folder, 'pictures'), { recursive: true });
  await mkdir(join(folder, 'vqa'), { recursive: true });
  await mkdir(join(folder, 'nlvr2'), { recursive: true });
  await using features = await open(join(folder, names.features), 'w');
  await using sentenceFile = await open(join(folder, names.sentences), 'w');
  await using vqaFile = await open(join(folder, names.vqa), 'w');
  await using nlvr2File = await open(join(folder, names.nlvr2), 'w');
  await using aloneFile = split === 'train' ? await open(join(folder, questionsFile), 'w') : undefined;
  const texts = new JsonListFile(sentenceFile);
  const alone = aloneFile && new JsonListFile(aloneFile);
  const questions = new JsonListFile(vqaFile);
  const statements = new JsonListFile(nlvr2File);
  let set: Scene[] = [];
  for (let from = 0; from < count; from += block) {
    const to = Math.min(from + block, count);
    const lines: string[] = [];
    for (let index = from; index < to; index += 1) {
      const scene = makeScene(seed, split, index);
      const sentences = makeSentences(scene, { seed, split, index, balance });
      const found = detector.detect(scene, createRandom(...sceneKey(seed, split, index, streams.detector)));
      lines.push(tsvLine(scene, found));
      texts.add(jsonEntry(scene, sentences));
      alone?.add(jsonEntry(scene, { ...sentences, captions: [] }));
      sums.captions += sentences.captions.length;
      sums.questions += sentences.questions.length;
      for (const question of sentences.questions) tally.add(question);
      for (const entry of vqa.ask(scene, index)) questions.add(JSON.stringify(entry));
      set.push(scene);
      if (set.length === scenesPerSet) {
        for (const entry of pairEntries(set, seed, split, (index + 1) / scenesPerSet - 1)) {
          pairTally.add(entry);
          statements.add(JSON.stringify(entry));
        }
        set = [];
      }
      if (index < options.pictures) sums.pictureBytes += await drawPicture(options, scene, sentences);
    }
    await features.writeFile(lines.join(''));
    await Promise.all([texts.write(), alone?.write(), questions.write(), statements.write()]);
    options.onScenes(to);
  }
  await Promise.all([texts.end(), alone?.end(), questions.end(), statements.end()]);
  const fineTuning = { vqa: vqa.languageOnly(), nlvr2: pairTally.result() };
  return { ...sums, languageOnly: tally.result(), fineTuning };
}

/**
 * Draws a scene and returns the bytes of the picture. An SVG also contains the captions and questions about the scene.
 */
async function drawPicture(
  { folder, render }: SplitOptions,
  scene: Scene,
  { captions, questions }: Sentences,
): Promise<number> {
  const said = [...captions, ...questions.map(({ sentence, answer }) => `${sentence} ${answer}`)];
  const drawn = render ? await render(svg(scene)) : Buffer.from(svg(scene, said.join('\n')));
  await writeFile(join(folder, 'pictures', `${scene.id}.${render ? 'png' : 'svg'}`), drawn);
  return drawn.length;
}
