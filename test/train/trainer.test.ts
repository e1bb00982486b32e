import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, readdir, readlink, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Batch } from '../../src/data/batches/batch.js';
import { learningRate } from '../../src/train/schedule.js';
import { pretrain } from '../../src/pretrain/pretrain.js';
import { fakeParts } from './support/fakeParts.js';
import { fakeRun, filesOf, metricsOf, newestFiles, shortRun } from './support/runs.js';

let parent: string;
let out: string;
let serial = 0;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'trainer-'));
});
beforeEach(() => {
  out = join(parent, `run-${serial++}`);
});
afterAll(() => rm(parent, { recursive: true, force: true }));

describe('a run', () => {
  test('writes a line for every step, and the due validations', async () => {
    const { summary, parts, model } = await fakeRun(out);
    const records = await metricsOf(out);
    const steps = records.filter((record) => !('split' in record));
    const valid = records.filter((record) => 'split' in record);
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 23 }, (_, i) => i + 1));
    expect(steps.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 23 }, (_, i) => Math.floor(i / 5)));
    const schedule = { lr: 0.05, totalSteps: 23, warmup: 0.05 };
    expect(steps.map(({ lr }) => lr)).toEqual(Array.from({ length: 23 }, (_, i) => learningRate(i, schedule)));
    expect(steps[0].lr).toBe(0);
    expect(Object.keys(steps[0].losses as object)).toEqual(['maskedLm', 'matched', 'obj', 'attr', 'feat', 'qa']);
    expect(valid.map(({ step }) => step)).toEqual([4, 8, 12, 16, 20, 23]);
    expect(Object.keys(valid[0].accuracy as object)).toEqual(['maskedLm', 'matched', 'obj', 'attr', 'qa']);
    // The line of a validation immediately follows the line of its step.
    expect(records[4]).toMatchObject({ step: 4, split: 'valid' });
    expect(summary).toMatchObject({ step: 23, totalSteps: 23, finished: true });
    expect(summary.checkpoint).toBe(join(out, 'checkpoints', 'step-00000023'));
    expect(parts.closed).toBe(1);
    expect(model.disposed).toBe(true);
    expect(await filesOf(out)).toEqual(['checkpoints', 'config.json', 'metrics.jsonl']);
  });

  test('keeps the newest two checkpoints, and the one with the best validation loss', async () => {
    const { summary } = await fakeRun(out);
    const valid = (await metricsOf(out)).filter((record) => 'split' in record) as unknown as {
      step: number;
      loss: number;
    }[];
    const best = valid.reduce((a, b) => (b.loss < a.loss ? b : a));
    expect(summary.best).toEqual({ step: best.step, loss: best.loss });
    const name = (step: number) => `step-${String(step).padStart(8, '0')}`;
    expect(await readlink(join(out, 'checkpoints/best'))).toBe(name(best.step));
    expect(await readlink(join(out, 'checkpoints/last'))).toBe(name(23));
    expect((await readdir(join(out, 'checkpoints'))).length).toBeLessThanOrEqual(5);
    expect(await readdir(join(out, 'checkpoints'))).toContain(name(best.step));
  });

  test('has a config.json with every setting, which describes the same run', async () => {
    await fakeRun(out);
    const again = join(parent, `run-${serial++}`);
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ maxSteps: 23, seed: 9595, model: { vocabSize: 300, numQaLabels: 3 }, out });
    await pretrain({ sources: { file: join(out, 'config.json'), flags: { out: again } } }, fakeParts());
    expect(await newestFiles(again)).toEqual(await newestFiles(out));
  });

  test('gives every batch back after its results are known', async () => {
    const batches: Batch[] = [];
    const parts = fakeParts();
    const open = parts.openData.bind(parts);
    parts.openData = async (config) => {
      const data = await open(config);
      const release = (batch: Batch) => {
        batches.push(batch);
        data.source.release(batch);
      };
      return { ...data, source: { ...data.source, release } };
    };
    await pretrain({ sources: { flags: shortRun(out) } }, parts);
    // A step has two parts, and a validation four batches.
    expect(batches).toHaveLength(2 * 23 + 4 * 6);
    expect(new Set(batches).size).toBe(batches.length);
  });

  test('computes a step while the next batch is assembled, with at most two steps enqueued', async () => {
    const { model } = await fakeRun(out, { fake: { delay: 5 } });
    expect(model.mostInFlight).toBe(2);
  });

  test('by default validates at the end of each epoch, and saves the best checkpoint', async () => {
    const flags = { 'max-steps': undefined, epochs: '3', 'valid-every': undefined, 'save-every': undefined };
    const { summary } = await fakeRun(out, { flags });
    expect(summary.totalSteps).toBe(15);
    const valid = (await metricsOf(out)).filter((r) => 'split' in r);
    expect(valid.map(({ step, epoch }) => [step, epoch])).toEqual([
      [5, 0],
      [10, 1],
      [15, 2],
    ]);
    const steps = (await readdir(join(out, 'checkpoints'))).filter((name) => name.startsWith('step-'));
    expect(steps).toContain(`step-${String(summary.best!.step).padStart(8, '0')}`);
  });

  test('works without validation', async () => {
    const { summary } = await fakeRun(out, { flags: { valid: 'none', 'max-steps': '12' } });
    expect(summary.best).toBeUndefined();
    expect((await metricsOf(out)).filter((r) => 'split' in r)).toEqual([]);
    expect((await readdir(join(out, 'checkpoints'))).sort()).toEqual(['last', 'step-00000006', 'step-00000012']);
  });

  test('leaves QA out without an answer table, and says so once', async () => {
    const { notes } = await fakeRun(out, { fake: { answers: null } });
    expect(notes.filter((note) => note.includes('question answering is off'))).toHaveLength(1);
    const [first] = await metricsOf(out);
    expect(Object.keys(first.losses as object)).toEqual(['maskedLm', 'matched', 'obj', 'attr', 'feat']);
    await expect(
      fakeRun(join(parent, `run-${serial++}`), { fake: { answers: null }, flags: { tasks: 'qa' } }),
    ).rejects.toMatchObject({ code: 'BAD_CONFIG', message: expect.stringContaining('no answer table') });
  });

  test('begins QA in the configured epoch', async () => {
    await fakeRun(out, { flags: { 'qa-from-epoch': '2', 'qa-weight': '2' } });
    const withQa = (await metricsOf(out)).filter(({ losses }) => 'qa' in (losses as object)).map(({ epoch }) => epoch);
    expect(Math.min(...(withQa as number[]))).toBe(2);
    expect(withQa.filter((epoch) => epoch === 2)).toHaveLength(6);
  });
});

describe('what stops a run', () => {
  test('for a gradient that is not finite, the error names step, loss and samples, and the checkpoint is kept', async () => {
    const run = fakeRun(out, { fake: { badSample: '2.3.1/b' } });
    await expect(run).rejects.toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringMatching(
        /^step 14: the loss of maskedLm, .*qa is not finite for 2\.3\.1\/b; .*checkpoint of step 12 is unchanged/,
      ),
    });
    const steps = (await metricsOf(out)).map(({ step }) => step as number);
    expect(Math.max(...steps)).toBe(13);
    expect(await readlink(join(out, 'checkpoints/last'))).toBe('step-00000012');
    expect(await readdir(out)).not.toContain('run.lock');
  });

  test('when only the gradient is not finite, the batch is named', async () => {
    await expect(fakeRun(out, { fake: { notFiniteAt: 1 } })).rejects.toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringMatching(
        /^step 2: every loss is finite, but the gradient is not; the batch was 0\.1\.0\/a, .* 1 more samples; the run stops, nothing was saved/,
      ),
    });
  });

  test('if the data fail, the steps before are recorded, and the run can continue', async () => {
    await expect(fakeRun(out, { fake: { failAfter: 9 } })).rejects.toThrow('the features were cut short');
    expect((await metricsOf(out)).at(-1)).toMatchObject({ step: 8 });
    const straight = join(parent, `run-${serial++}`);
    await fakeRun(straight);
    await fakeRun(out, { resume: true });
    expect(await metricsOf(out)).toEqual(await metricsOf(straight));
    expect(await newestFiles(out)).toEqual(await newestFiles(straight));
  });

  test('after a signal the current step is finished and saved, and the resumed run gives the results of a run without the signal', async () => {
    const straight = join(parent, `run-${serial++}`);
    await fakeRun(straight);
    // Signals before, at and after steps with a validation (4, 8, …) and a save (6, 12, …), and before the first step.
    for (const stopAt of [0, 1, 3, 4, 6, 8, 11, 12, 22, 23]) {
      const stopped = join(parent, `run-${serial++}`);
      const controller = new AbortController();
      const abortAt = (step: number) => {
        if (step >= stopAt) controller.abort();
      };
      const { summary } = await fakeRun(stopped, {
        signal: controller.signal,
        observer: { started: ({ step }) => abortAt(step), stepDone: ({ step }) => abortAt(step) },
      });
      expect(summary.step).toBeGreaterThanOrEqual(stopAt);
      expect(summary.step).toBeLessThanOrEqual(Math.min(23, stopAt + 1));
      expect(await readlink(join(stopped, 'checkpoints/last'))).toBe(`step-${String(summary.step).padStart(8, '0')}`);
      const { summary: rest } = await fakeRun(stopped, { resume: true });
      expect(rest.finished).toBe(true);
      expect(await metricsOf(stopped)).toEqual(await metricsOf(straight));
      expect(await newestFiles(stopped)).toEqual(await newestFiles(straight));
    }
  });
});

describe('--resume', () => {
  test('without a run in the folder, or without a checkpoint, starts from step 0', async () => {
    const { notes } = await fakeRun(out, { resume: true });
    expect(notes).toContain(`${out} has no checkpoint: the run starts from step 0`);
    const straight = await metricsOf(out);
    const other = join(parent, `run-${serial++}`);
    await expect(fakeRun(other, { fake: { failAfter: 3 } })).rejects.toThrow();
    expect(await readdir(join(other, 'checkpoints'))).toEqual([]);
    await fakeRun(other, { resume: true });
    expect(await metricsOf(other)).toEqual(straight);
  });

  test('of a finished run does nothing, and says so', async () => {
    const { summary } = await fakeRun(out);
    const before = await newestFiles(out);
    const { notes, parts, summary: again } = await fakeRun(out, { resume: true });
    expect(notes).toEqual([`${out} is finished: all 23 steps are done`]);
    expect(parts.models).toHaveLength(0);
    expect(again).toMatchObject({ step: 23, finished: true, checkpoint: summary.checkpoint, best: summary.best });
    expect(again.lastValidation?.step).toBe(23);
    expect(await newestFiles(out)).toEqual(before);
  });

  test('uses the settings of the run, so that --out is enough', async () => {
    const straight = join(parent, `run-${serial++}`);
    await fakeRun(straight);
    await expect(fakeRun(out, { fake: { failAfter: 15 } })).rejects.toThrow();
    await pretrain({ sources: { flags: { out } }, resume: true }, fakeParts());
    expect(await metricsOf(out)).toEqual(await metricsOf(straight));
  });

  test('with other settings is refused, and the message names them', async () => {
    await expect(fakeRun(out, { fake: { failAfter: 15 } })).rejects.toThrow('cut short');
    const before = await metricsOf(out);
    await expect(
      fakeRun(out, { resume: true, flags: { lr: '0.1', seed: '3', tasks: 'qa,matched' } }),
    ).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringMatching(
        /cannot continue with other settings.*\n {2}tasks\.on \(--tasks\): was .*, is \["qa","matched"\]\n {2}optimizer\.lr \(--lr\): was 0\.05, is 0\.1\n {2}seed \(--seed\): was 9595, is 3\n/,
      ),
    });
    await expect(fakeRun(out, { resume: true, flags: { 'max-steps': '20' } })).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('planned for 23 steps; --resume can make it longer, but not shorter (20 steps'),
    });
    expect(await metricsOf(out)).toEqual(before);
    await fakeRun(out, { resume: true, flags: { 'save-every': '5', threads: '1', keep: '1' } });
  });

  test('with another answer table is refused, and says where it differs', async () => {
    await expect(fakeRun(out, { fake: { failAfter: 15 } })).rejects.toThrow('cut short');
    const resumed = (answers: string[] | null) => fakeRun(out, { resume: true, fake: { answers } });
    await expect(resumed(['yes', 'two', 'no'])).rejects.toMatchObject({
      code: 'BAD_CHECKPOINT',
      message: expect.stringContaining('answer 1 is "no" in the checkpoint and "two" in the data'),
    });
    await expect(resumed(['yes', 'no'])).rejects.toThrow(
      'answer 2 is "two" in the checkpoint and "nothing" in the data',
    );
    await rm(join(out, 'checkpoints/last/answers.json'));
    await expect(resumed(['yes', 'no'])).rejects.toThrow(
      'answer table: the checkpoint has none (answers.json), the data folder has one. Give the data',
    );
  });

  test('with other data is refused', async () => {
    await expect(fakeRun(out, { fake: { failAfter: 15, samples: 'abc' } })).rejects.toThrow('cut short');
    await expect(fakeRun(out, { resume: true, fake: { samples: 'def' } })).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('checksum of the samples: was abc, is def'),
    });
    await expect(fakeRun(out, { resume: true, fake: { batchesPerEpoch: 6 } })).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('batchesPerEpoch: was 5, is 6'),
    });
    await expect(fakeRun(out, { resume: true, fake: { visualFeatDim: 9 } })).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('model.visualFeatDim is 3, but a RoI feature of the data has 9'),
    });
  });

  test('from a damaged checkpoint is refused, and nothing is cut', async () => {
    await expect(fakeRun(out, { fake: { failAfter: 15 } })).rejects.toThrow('cut short');
    const before = await metricsOf(out);
    const newest = join(out, 'checkpoints/last');
    await writeFile(join(newest, 'model.safetensors'), 'x');
    await expect(fakeRun(out, { resume: true })).rejects.toMatchObject({ code: 'BAD_CHECKPOINT' });
    await writeFile(join(newest, 'trainer_state.json'), '{');
    await expect(fakeRun(out, { resume: true })).rejects.toMatchObject({ code: 'BAD_CHECKPOINT' });
    expect(await metricsOf(out)).toEqual(before);
    // The previous checkpoint is complete. If the damaged checkpoint is removed, the run continues from the previous
    // one.
    await rm(await realpath(newest), { recursive: true });
    const { summary } = await fakeRun(out, { resume: true });
    expect(summary.finished).toBe(true);
    expect(new Set((await metricsOf(out)).map(({ step }) => step)).size).toBe(23);
  });
});

describe('the run folder', () => {
  test('that already has a run is not changed without --resume', async () => {
    await fakeRun(out);
    const before = await newestFiles(out);
    await expect(fakeRun(out)).rejects.toMatchObject({
      code: 'RUN_FOLDER',
      message: `${out} already contains a run, saved at step 23; add --resume to continue it, or give another --out`,
    });
    expect(await newestFiles(out)).toEqual(before);
    expect(await readdir(out)).not.toContain('run.lock');
  });

  test('may contain other files', async () => {
    await mkdir(out);
    await writeFile(join(out, 'notes.txt'), 'mine');
    await fakeRun(out);
    expect(await readFile(join(out, 'notes.txt'), 'utf8')).toBe('mine');
  });

  test('is refused if it is a file, lies inside a file, or has a config.json of another program', async () => {
    await writeFile(out, '');
    await expect(fakeRun(out)).rejects.toMatchObject({ code: 'FILE_ACCESS', message: expect.stringContaining(out) });
    await expect(fakeRun(join(out, 'run'), { resume: true })).rejects.toMatchObject({ code: 'FILE_ACCESS' });
    const foreign = join(parent, `run-${serial++}`);
    await mkdir(foreign);
    await writeFile(join(foreign, 'config.json'), 'no JSON');
    for (const resume of [false, true])
      await expect(fakeRun(foreign, { resume })).rejects.toMatchObject({
        code: 'RUN_FOLDER',
        message: expect.stringContaining('config.json is not the description of a run'),
      });
    await writeFile(join(foreign, 'config.json'), '{"name": "somebody else\'s"}');
    await expect(fakeRun(foreign, { resume: true })).rejects.toMatchObject({ code: 'BAD_CONFIG' });
  });

  test('is not used by two runs at once', async () => {
    let begin!: () => void;
    const second = new Promise<void>((done) => (begin = done)).then(() => fakeRun(out, { resume: true }));
    const held = { step: 2, until: second.catch(() => undefined) };
    await fakeRun(out, { fake: { held }, observer: { stepDone: () => begin() } });
    await expect(second).rejects.toMatchObject({
      code: 'RUN_FOLDER',
      message: expect.stringContaining('in use by process'),
    });
  });

  test('must be given, and so must the data', async () => {
    const run = (flags: Record<string, string>) => pretrain({ sources: { flags } }, fakeParts());
    await expect(run({ data: 'x' })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('--out'),
    });
    await expect(run({ out })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('--data'),
    });
  });
});
