/** Small data folders for tests, in the file formats of the original. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface TestImage {
  readonly id: string;
  readonly height: number;
  readonly width: number;
  readonly objectIds: readonly number[];
  readonly objectConfs: readonly number[];
  readonly attrIds: readonly number[];
  readonly attrConfs: readonly number[];
  /** Boxes in pixels, four numbers for each object. */
  readonly boxes: readonly number[];
  readonly features: readonly number[];
}

/** An image in which all values are different, so that a test detects exchanged values. */
export function testImage(number: number, objects: number, featureDim: number): TestImage {
  const range = <T>(length: number, value: (i: number) => T) => Array.from({ length }, (_, i) => value(i));
  return {
    id: `image_${number}`,
    height: 100,
    width: 200,
    objectIds: range(objects, (i) => (number * 7 + i) % 16),
    objectConfs: range(objects, (i) => (i + 1) / (objects + 1)),
    attrIds: range(objects, (i) => (number * 3 + i) % 8),
    attrConfs: range(objects, (i) => 1 / (i + 2)),
    boxes: range(objects, (i) => [2 * i, i, 2 * i + 50, i + 25]).flat(),
    features: range(objects * featureDim, (i) => number + 1 + i / 1000),
  };
}

const base64 = (array: NodeJS.TypedArray) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64');
const floats = (values: readonly number[]) => base64(Float32Array.from(values));
const longs = (values: readonly number[]) => base64(BigInt64Array.from(values, BigInt));

/** The ten columns of an image's line. */
export function tsvFields(image: TestImage): string[] {
  return [
    image.id,
    String(image.height),
    String(image.width),
    longs(image.objectIds),
    floats(image.objectConfs),
    longs(image.attrIds),
    floats(image.attrConfs),
    String(image.objectIds.length),
    floats(image.boxes),
    floats(image.features),
  ];
}

export const tsvLine = (image: TestImage) => tsvFields(image).join('\t');
export const tsvText = (images: readonly TestImage[]) => images.map((image) => `${tsvLine(image)}\n`).join('');

/** Folders that are removed after the test file. */
export class TestFolders {
  readonly #made: string[] = [];

  /** A new folder with these files in it. */
  async make(files: Readonly<Record<string, string | Uint8Array>> = {}): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'lxmert-data-'));
    this.#made.push(dir);
    for (const [name, content] of Object.entries(files)) {
      const path = join(dir, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
    return dir;
  }

  async remove(): Promise<void> {
    for (const dir of this.#made) await rm(dir, { recursive: true, force: true });
  }
}

export interface TestText {
  readonly img_id: string;
  readonly sentf: Record<string, string[]>;
  readonly labelf?: Record<string, Record<string, number>[]>;
}

const colours = ['red', 'green', 'blue', 'yellow', 'purple'];
const shapes = ['circle', 'square', 'triangle', 'star'];

/** A caption set with two sentences and a question set with one. All sentences are different. */
export function testText(number: number): TestText {
  const colour = colours[number % colours.length];
  const shape = shapes[number % shapes.length];
  return {
    img_id: `image_${number}`,
    sentf: {
      mscoco: [
        `A large ${colour} ${shape} is left of a small grey star number ${number}.`,
        `There are ${number} objects, and one of them is a ${shape}.`,
      ],
      vqa: [`What colour is the ${shape} next to number ${number}?`],
    },
    labelf: { vqa: [{ [colour]: 1, pink: 0.3, nonsense: 0.6 }] },
  };
}

export const testAnswers = [...colours, 'pink', '1', '2', 'yes', 'no'].map((ans) => ({ ans, dsets: ['vqa'] }));

export interface TestDataOptions {
  readonly images?: number;
  readonly featureDim?: number;
  readonly objects?: (image: number) => number;
  readonly text?: (image: number) => TestText;
}

/** The files of a folder with one split, `train`. */
export function testData(options: TestDataOptions = {}): Record<string, string> {
  const { images = 12, featureDim = 6, objects = (i: number) => 3 + (i % 4), text = testText } = options;
  const numbers = Array.from({ length: images }, (_, i) => i);
  return {
    'data.yaml':
      'splits: { train: { features: f/train.tsv, sentences: train.json } }\nobjectLabels: 16\nattributeLabels: 8\n',
    'all_ans.json': JSON.stringify(testAnswers),
    'f/train.tsv': tsvText(numbers.map((i) => testImage(i, objects(i), featureDim))),
    'train.json': JSON.stringify(numbers.map(text)),
  };
}
