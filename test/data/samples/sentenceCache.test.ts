import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AnswerTable } from '../../../src/data/samples/answers.js';
import { cachedSentences, collectSamples } from '../../../src/data/samples/sentenceCache.js';
import { SampleBuilder } from '../../../src/data/samples/sampleStore.js';
import { readSentences } from '../../../src/data/samples/sentences.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { temporaryFolder } from '../../imports/support.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const cache = folder.path('cache');
let wordPiece: WordPiece;
beforeAll(async () => {
  wordPiece = await WordPiece.load();
});
const answers = new AnswerTable(['yes', 'no', 'two']);

/** Sentences of some images; every third has questions. */
function write(name: string, images: number, word: string): string {
  const path = folder.path(name);
  const all = Array.from({ length: images }, (_, i) => ({
    img_id: `${word}_${i}`,
    sentf: {
      mscoco: [`a ${word} beside a house`, `the ${word} is ${'very '.repeat(i % 30)}large`],
      ...(i % 3 === 0 && { vqa: [`is it a ${word} ?`, 'how many 𠀀 qqzx ?'] }),
    },
    ...(i % 3 === 0 && { labelf: { vqa: [{ yes: 1, maybe: 0.3 }, i % 2 ? { two: 0.9, no: 0.1 } : {}] } }),
  }));
  writeFileSync(path, JSON.stringify(all));
  return path;
}

const options = () => ({ folder: cache, wordPiece, maxTokens: 20, answers });

describe('samples from caches', () => {
  test('are the same as without a cache, also if images are left out', async () => {
    const files = [write('dogs.json', 40, 'dog'), write('cats.json', 25, 'cat')];
    const builder = new SampleBuilder({ wordPiece, maxTokens: 20, answers });
    const isTaken = (image: number) => image % 5 !== 2;
    const chosen = [];
    for (const file of files) {
      const positions: number[] = [];
      await readSentences(file, (image) => {
        const position = isTaken(positions.length) ? positions.length + 7 : -1;
        positions.push(position);
        if (position >= 0) builder.add(position, image);
      });
      const one = await cachedSentences(file, options());
      expect(one.imageIds.length).toBe(positions.length);
      chosen.push({ cache: one, positions: Int32Array.from(positions) });
    }
    const { details, ...expected } = builder.finish();
    const found = await collectSamples(chosen, wordPiece);
    expect(JSON.parse(JSON.stringify(found))).toEqual(JSON.parse(JSON.stringify(expected)));
    for (let sample = 0; sample < found.size; sample++) {
      expect(found.setOf(sample)).toBe(expected.setOf(sample));
      expect(found.numberOf(sample)).toBe(expected.numberOf(sample));
      expect(found.questionSetOf(sample)).toBe(expected.questionSetOf(sample));
    }
    expect(details.setNames).toEqual(['mscoco', 'vqa']);
    expect(found.truncatedSentences).toBeGreaterThan(0);
  });

  test('are made again if text, vocabulary, length or answers differ, and only then', async () => {
    const text = write('birds.json', 3, 'bird');
    const own = { ...options(), folder: folder.path('own') };
    const count = () => readdirSync(own.folder).length;
    const notes: string[] = [];
    await cachedSentences(text, own);
    await cachedSentences(text, { ...own, onNote: (note) => notes.push(note) });
    expect([count(), notes]).toEqual([1, []]);
    await cachedSentences(text, { ...own, maxTokens: 10 });
    await cachedSentences(text, { ...own, answers: undefined });
    utimesSync(text, 1, 1);
    await cachedSentences(text, own);
    expect(count()).toBe(4);
  });

  test('two caches that are made at the same time are complete, and a damaged cache is made again', async () => {
    const text = write('fish.json', 30, 'fish');
    const own = { ...options(), folder: folder.path('twice') };
    const [a, b] = await Promise.all([cachedSentences(text, own), cachedSentences(text, own)]);
    expect(a).toEqual(b);
    expect(readdirSync(own.folder)).toHaveLength(1);
    const whole = readFileSync(a.path);
    writeFileSync(a.path, whole.subarray(0, 500));
    await cachedSentences(text, own);
    expect(readFileSync(join(a.path))).toEqual(whole);
  });
});
