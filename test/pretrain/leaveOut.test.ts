import { afterAll, expect, test } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openPretrainData } from '../../src/data/samples/pretrainData.js';
import { samplesIdentity } from '../../src/data/samples/identity.js';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';
import { lookIntoRun } from '../../src/train/index.js';
import { WordPiece } from '../../src/text/wordPiece.js';
import { TestFolders, testData, testImage, tsvText, type TestImage } from '../data/support/samples.js';
import { metricsOf } from '../train/support/runs.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

const files = testData({ images: 8, objects: () => 5 });
const damage = ({ features, ...image }: TestImage): TestImage => ({
  ...image,
  features: features.map((value, i) => (i === 9 ? NaN : value)),
});
const damagedTsv = tsvText(
  Array.from({ length: 8 }, (_, i) => (i === 5 ? damage(testImage(i, 5, 6)) : testImage(i, 5, 6))),
);

const size = { 'hidden-size': '16', 'num-attention-heads': '2', 'intermediate-size': '16' };
const steps = 12;

/** Runs pre-training on the folder; a signal ends the run after `until` steps. */
async function run(data: string, out: string, more: { until?: number; resume?: boolean; exclude?: string } = {}) {
  const { until, resume, exclude } = more;
  const stop = new AbortController();
  const flags = { data, out, ...size, threads: '1', 'batch-size': '4', 'max-steps': `${steps}`, valid: 'none' };
  const request = {
    sources: { preset: 'tiny', flags: exclude === undefined ? flags : { ...flags, exclude } },
    resume,
    signal: stop.signal,
    observer: {
      stepDone: ({ step }: { step: number }) => {
        if (step === until) stop.abort();
      },
    },
  };
  return pretrain(request, pretrainParts);
}

const stepsOf = async (out: string) => (await metricsOf(out)).map(({ step }) => step);
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

test('a picture that can no longer be read stops a run; with --exclude, the resumed run continues without the picture', async () => {
  const data = await folders.make({ ...files, 'skip.txt': 'image_5\n' });
  const [out, straight] = [join(data, 'run'), join(data, 'straight')];
  await run(data, straight);
  const { step: stopped } = await run(data, out, { until: 5 });
  await writeFile(join(data, 'f/train.tsv'), damagedTsv);
  await expect(run(data, out, { resume: true })).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringMatching(/line 6: features must be finite, found NaN .*image "image_5".*--exclude FILE/),
  });
  const exclude = join(data, 'skip.txt');
  expect(await run(data, out, { resume: true, exclude })).toMatchObject({ finished: true, step: steps });
  expect(await stepsOf(out)).toEqual(upTo(steps));
  expect((await metricsOf(out)).slice(0, stopped)).toEqual((await metricsOf(straight)).slice(0, stopped));
  const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as unknown;
  expect(config).toMatchObject({ data: { excludeLater: [exclude] } });
  // Another resume keeps the list.
  expect(await run(data, out, { resume: true })).toMatchObject({ finished: true });
});

test('a checkpoint with the checksum of an older release is resumed; with that of other samples it is refused', async () => {
  const data = await folders.make(files);
  const out = join(data, 'run');
  const { checkpoint, step } = await run(data, out, { until: 5 });
  const opened = await openPretrainData({ dir: data, splits: 'train', wordPiece: await WordPiece.load() });
  const { former } = await samplesIdentity(opened);
  await opened.close();
  const file = join(checkpoint!, 'trainer_state.json');
  const state = JSON.parse(await readFile(file, 'utf8')) as { samples: string };
  await writeFile(
    file,
    JSON.stringify({ ...state, samples: former.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) }),
  );
  await expect(run(data, out, { resume: true })).rejects.toThrow(/samples: images, sentences, answers or their order/);
  await writeFile(file, JSON.stringify({ ...state, samples: former }));
  expect(await run(data, out, { resume: true })).toMatchObject({ finished: true, step: steps });
  expect((await lookIntoRun(out)).checkpoints.at(-1)).toBe(steps);
  expect(step).toBeLessThan(steps);
});
