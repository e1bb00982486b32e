import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../src/cli/run.js';
import { openPretrainData } from '../../src/data/samples/pretrainData.js';
import type { PretrainData } from '../../src/data/samples/pretrainData.js';
import { openBatchMaker } from '../../src/data/batches/batchMaker.js';
import { allTasks, paperRates } from '../../src/data/batches/masking.js';
import { reportOnScenes } from '../../src/report/index.js';
import { hiddenObjects, hiddenWords, matching, reportDraws, withOtherPictures } from '../../src/report/probes.js';
import type { Probe } from '../../src/report/probes.js';
import { contentWords, writeScenes } from '../../src/scenes/index.js';
import { WordPiece } from '../../src/text/wordPiece.js';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';

let folder: string;
let data: string;
let run: string;
const flags = () => ({
  ...{ data, out: run, 'max-steps': '2', 'batch-size': '8', threads: '1', valid: 'none' },
  ...{ 'hidden-size': '32', 'num-attention-heads': '2', 'intermediate-size': '32' },
});
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-'));
  [data, run] = [join(folder, 'scenes'), join(folder, 'run')];
  await writeScenes({ out: data, images: 20, featureDim: 16, pictures: 0 });
  await pretrain({ sources: { flags: flags(), preset: 'tiny' } }, pretrainParts);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a probe', () => {
  let scenes: PretrainData;
  let wordPiece: WordPiece;
  beforeAll(async () => {
    wordPiece = await WordPiece.load();
    scenes = await openPretrainData({ dir: data, splits: 'valid', wordPiece });
  });
  afterAll(() => scenes.close());

  const samples = [0, 1, 2, 30, 31, 700];
  /** The original batch, and the batch that a probe makes from it. */
  async function asked(probe: Probe) {
    const maker = openBatchMaker(probe.data, { seed: 0, rates: paperRates, workers: 0 });
    const job = { samples: Uint32Array.from(samples), epoch: 0, firstSample: 0, tasks: allTasks, unmasked: true };
    const whole = await maker.make(job);
    await maker.close();
    return { whole, ...probe.ask(whole, samples) };
  }

  test('for a word hides that word and nothing else', async () => {
    const { whole, batch, right } = await asked(hiddenWords(scenes, samples, () => 2));
    const changed = [...whole.tokenIds.keys()].filter((i) => whole.tokenIds[i] !== batch.tokenIds[i]);
    expect(changed).toEqual(samples.map((_, s) => whole.tokenOffsets[s] + 2));
    expect(changed.map((i) => batch.tokenIds[i])).toEqual(samples.map(() => wordPiece.maskId));
    expect(Array.from(right)).toEqual(changed.map((i) => whole.tokenIds[i]));
    expect(batch.maskedTokenRows).toEqual(Int32Array.from(changed));
    expect(batch.maskedTokenLabels).toEqual(Int32Array.from(right));
    expect(batch.visualFeats).toEqual(whole.visualFeats);
  });

  test.each(['obj', 'attr'] as const)('for an object (%s) hides its feature, but not its box', async (head) => {
    const { whole, batch, rows, right } = await asked(hiddenObjects(scenes, { samples, head, draw: reportDraws() }));
    const hidden = new Set(Array.from(rows));
    expect(hidden.size).toBe(samples.length);
    for (let row = 0; row < whole.objectLabels.length; row++) {
      const feature = batch.visualFeats.subarray(row * 16, (row + 1) * 16);
      if (hidden.has(row)) expect(feature).toEqual(new Float32Array(16));
      else expect(feature).toEqual(whole.visualFeats.subarray(row * 16, (row + 1) * 16));
    }
    const labels = head === 'obj' ? whole.objectLabels : whole.attributeLabels;
    expect(Array.from(right)).toEqual(Array.from(rows, (row) => labels[row]));
    expect(batch.visualPos).toEqual(whole.visualPos);
  });

  test('for matching pairs about half of the sentences with another picture, and the labels say which', () => {
    const every = Array.from({ length: scenes.size }, (_, sample) => sample);
    const probe = matching(scenes, every, reportDraws());
    const moved = every.filter((sample) => probe.data.images[sample] !== scenes.images[sample]);
    expect(moved.length / every.length).toBeGreaterThan(0.4);
    expect(moved.length / every.length).toBeLessThan(0.6);
    expect(matching(scenes, every, reportDraws()).data.images).toEqual(probe.data.images);
  });

  test('for matching never takes the right picture as a wrong one', () => {
    const other = withOtherPictures(scenes, reportDraws());
    expect([...other.images].filter((image, sample) => image === scenes.images[sample])).toEqual([]);
    expect(other.tokens).toBe(scenes.tokens);
  });
});

test('content words are those that depend on the picture', () => {
  const words = (sentence: string) => sentence.split(' ');
  const content = (sentence: string) => contentWords(words(sentence)).map((i) => words(sentence)[i]);
  expect(content('[CLS] there are two red shapes and one blue one . [SEP]')).toEqual(['two', 'red', 'one', 'blue']);
  expect(content('a small star stands left of a circle .')).toEqual(['small', 'star', 'left', 'circle']);
});

describe('a report', () => {
  test('covers all tasks of the run, gives their floors, and is the same when repeated', async () => {
    const options = { run, splits: ['valid'], threads: 1 };
    const report = await reportOnScenes(options);
    expect(report).toMatchObject({ data, splits: ['valid'], scenes: 100 });
    expect(report.checkpoint).toBe(join(run, 'checkpoints', 'last'));
    expect(report.words!.asked).toBe(400);
    const { questions, matching: matched, objectClass, attribute } = report;
    expect(objectClass!.floor).toBeGreaterThanOrEqual(0.25);
    expect(attribute!.floor).toBeGreaterThanOrEqual(0.25);
    expect(matched!.asked).toBe(400 + questions!.all!.asked);
    expect(matched!.floor).toBeLessThan(0.55);
    const { all, ...types } = questions!;
    expect(Object.values(types).reduce((sum, { asked }) => sum + asked, 0)).toBe(all!.asked);
    const rights = Object.values(types).reduce((sum, { asked, right }) => sum + asked * right, 0);
    expect(rights).toBeCloseTo(all!.asked * all!.right);
    expect(types.color!.floor).toBeLessThan(0.35);
    expect(await reportOnScenes(options)).toEqual(report);
  });

  test('leaves out tasks that the run was not trained for', async () => {
    const out = join(folder, 'some');
    await pretrain(
      { sources: { flags: { ...flags(), out, tasks: 'matched,objects', 'visual-losses': 'attr' }, preset: 'tiny' } },
      pretrainParts,
    );
    const report = await reportOnScenes({ run: out, splits: ['valid'] });
    expect(Object.keys(report).sort()).toEqual(['attribute', 'checkpoint', 'data', 'matching', 'scenes', 'splits']);
  });

  test('names what is wrong with bad arguments', async () => {
    const wrong = async (options: Partial<Parameters<typeof reportOnScenes>[0]>, code: string, message: string) =>
      expect(reportOnScenes({ run, splits: ['valid'], ...options })).rejects.toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
    await wrong({ run: join(folder, 'nothing') }, 'RUN_FOLDER', 'is not a run');
    await wrong({ checkpoint: 'best' }, 'RUN_FOLDER', 'no best checkpoint; it has checkpoints of the steps 2');
    await wrong({ splits: [] }, 'BAD_ARGUMENT', '--splits is missing');
    await wrong({ splits: ['test'] }, 'BAD_ARGUMENT', "no split 'test'");
    const other = join(folder, 'other');
    await writeScenes({ out: other, images: 20, featureDim: 8, pictures: 0 });
    await wrong({ data: other }, 'BAD_DATA', 'features of 8 floats an object; the model takes 16');
    const json = join(other, 'valid.json');
    const text = await readFile(json, 'utf8');
    await writeFile(json, text.replace('{"yes":1}', '{"perhaps":1}'));
    await wrong({ data: other }, 'BAD_DATA', '1 answers of valid are not in the answer table of the checkpoint');
    await writeFile(json, text.replaceAll('what color', 'which color'));
    await wrong({ data: other }, 'BAD_DATA', 'does not have synthetic scenes ("');
  });

  test('is printed as a table, or with --json as one object', async () => {
    let stdout = '';
    const spies = [
      jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true)),
      jest.spyOn(process.stderr, 'write').mockImplementation(() => true),
    ];
    const report = (...more: string[]) =>
      runCli(['report', run, '--splits', 'valid', ...more], { report: () => import('../../src/cli/report.js') });
    try {
      expect(await report()).toBe(0);
      expect(stdout).toMatch(/^hidden word of a caption +400 +\d+\.\d % +\d+\.\d %$/m);
      expect(stdout).toMatch(/^ {2}leftRight +\d+ +/m);
      stdout = '';
      expect(await report('--json')).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ scenes: 100, words: { asked: 400 } });
    } finally {
      spies.forEach((spy) => spy.mockRestore());
    }
  });
});
