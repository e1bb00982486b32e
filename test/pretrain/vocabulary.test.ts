/** A checkpoint contains its vocabulary, so that its model can be opened and its run resumed without the original file. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';
import { findTrainedRun, reportOnScenes } from '../../src/report/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { WordPiece } from '../../src/text/wordPiece.js';
import { bertBaseUncased } from '../../src/text/vocabulary.js';

let folder: string;
let vocabulary: string;
/** A vocabulary of the first 3,000 WordPieces, with no ids beyond them. */
const pieces: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vocabulary-'));
  vocabulary = join(folder, 'mine.txt');
  await writeScenes({ out: join(folder, 'data'), images: 12, featureDim: 16, pictures: 0 });
  pieces.push(...(await bertBaseUncased()).slice(0, 3000));
  await writeFile(vocabulary, `${pieces.join('\n')}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (name: string, flags: Readonly<Record<string, string>>, resume = false, notes: string[] = []) =>
  pretrain(
    {
      sources: {
        preset: resume ? undefined : 'tiny',
        flags: {
          data: join(folder, 'data'),
          out: join(folder, name),
          device: 'cpu',
          threads: '0',
          workers: '0',
          ...flags,
        },
      },
      resume,
      observer: { note: (text) => notes.push(text) },
    },
    pretrainParts,
  );

test('report, resuming and --init use the vocabulary of the checkpoint', async () => {
  await run('run', { vocabulary, 'max-steps': '2', 'batch-size': '8' });
  const checkpoint = join(folder, 'run/checkpoints/last');
  expect(await readFile(join(checkpoint, 'vocab.txt'), 'utf8')).toBe(`${pieces.join('\n')}\n`);

  const other = join(folder, 'other.txt');
  await writeFile(other, `${pieces.slice(0, -1).join('\n')}\nzzz\n`);
  await expect(run('run', { vocabulary: other, 'max-steps': '3' }, true)).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/vocab\.txt: line 3000 is ".*", but "zzz" in the vocabulary of the data/),
  });

  await rm(vocabulary);
  const trained = await findTrainedRun(join(folder, 'run'));
  expect((await WordPiece.load({ vocabFile: trained.vocabFile })).vocabSize).toBe(3000);
  expect((await reportOnScenes({ run: join(folder, 'run'), device: 'cpu' })).scenes).toBeGreaterThan(0);
  expect(await run('run', { 'max-steps': '3' }, true)).toMatchObject({ step: 3, finished: true });

  const notes: string[] = [];
  await run('next', { init: checkpoint, 'max-steps': '1', 'batch-size': '8', valid: 'none' }, false, notes);
  expect(notes.join('\n')).toContain(`the vocabulary is that of the initial weights: ${join(checkpoint, 'vocab.txt')}`);
  const next = await findTrainedRun(join(folder, 'next'));
  expect((await WordPiece.load({ vocabFile: next.vocabFile })).vocabSize).toBe(3000);
});
