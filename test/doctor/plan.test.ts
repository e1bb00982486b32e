import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspectMachine, planRun, runFiles } from '../../src/doctor/index.js';
import { writeScenes } from '../../src/scenes/index.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  await writeScenes({ out: join(folder, 'data'), images: 20, seed: 1 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const flags = () => ({
  data: join(folder, 'data'),
  out: join(folder, 'no/such/run'),
  device: 'cpu',
  'batch-size': '8',
  'max-steps': '40',
  workers: '0',
});

test('the report on the machine has memory, cores and a working engine', async () => {
  const { engine, memory, cores } = await inspectMachine({ device: 'cpu', threads: 1 });
  expect(engine).toMatchObject({ device: 'cpu', threads: 1 });
  expect(memory.available).toBeLessThanOrEqual(memory.total);
  expect(cores).toBeGreaterThan(0);
});

test('if the engine does not start, the report has its error', async () => {
  const named = process.env.LXMERT_CUDA_LIBRARY;
  process.env.LXMERT_CUDA_LIBRARY = join(folder, 'none.so');
  try {
    expect(await inspectMachine({ device: 'cuda' })).toMatchObject({
      engine: { error: expect.stringContaining('none.so') },
      cuda: { missing: expect.stringContaining('none.so') },
    });
  } finally {
    if (named === undefined) delete process.env.LXMERT_CUDA_LIBRARY;
    else process.env.LXMERT_CUDA_LIBRARY = named;
  }
});

test('the plan of a run has its arenas, disk space and time', async () => {
  const plan = await planRun({ sources: { flags: flags(), preset: 'tiny' }, steps: 2 });
  const { parameters, memory, disk, time } = plan;
  expect(memory.arenas.gradients).toBe(memory.arenas.parameters);
  expect(memory.arenas.parameters).toBeGreaterThanOrEqual(4 * parameters);
  expect(memory.arenas.state).toBeGreaterThanOrEqual(8 * parameters);
  expect(memory.arenas.workspace).toBeGreaterThan(0);
  const arenas = Object.values(memory.arenas).reduce((a, b) => a + b, 0);
  expect(memory.total).toBe(memory.process + arenas);
  const logs = 40 * 1024;
  expect(disk).toMatchObject({ checkpoint: 12 * parameters, checkpoints: 4, logs, total: 48 * parameters + logs });
  expect(disk.free).toBeGreaterThan(0);
  expect(time!.secondsPerEpoch).toBeCloseTo(time!.secondsPerStep * plan.batchesPerEpoch);
  expect(plan.totalSteps).toBe(40);
  expect(plan.data!.samplesPerSecond).toBeGreaterThan(0);
  expect(plan.coverage.map(({ name }) => name)).toEqual(['train', 'valid']);
  expect(plan.coverage[0]).toMatchObject({ images: 20, withoutImage: 0, withoutSentences: 0 });
  expect(plan.coverage[0].sentences).toBeGreaterThan(20);
  expect(plan.warnings).toEqual([]);
});

test('the files of a planned run: those that are there, with their sizes, and those that are missing', async () => {
  const sources = { flags: flags(), preset: 'tiny' };
  const files = await runFiles(sources);
  const names = files.map(({ path, what, form, splits }) => [path.slice(folder.length), what, form, ...splits]);
  expect(names).toEqual([
    ['/data/train.tsv', 'features', 'tsv', 'train'],
    ['/data/train.json', 'text', undefined, 'train'],
    ['/data/valid.tsv', 'features', 'tsv', 'valid'],
    ['/data/valid.json', 'text', undefined, 'valid'],
    ['/data/all_ans.json', 'answers', undefined],
  ]);
  expect(files.every(({ bytes }) => bytes! > 0)).toBe(true);
  const original = join(folder, 'original');
  await mkdir(join(original, 'lxmert'), { recursive: true });
  await writeFile(join(original, 'lxmert/mscoco_train.json'), '[]');
  const described = { ...flags(), data: original, train: 'mscoco_train,vgnococo', valid: 'mscoco_minival' };
  const missing = (await runFiles({ flags: described })).filter(({ bytes }) => bytes === undefined);
  expect(missing.map(({ path }) => path.slice(original.length))).toEqual([
    '/mscoco_imgfeat/train2014_obj36.tsv',
    '/vg_gqa_imgfeat/vg_gqa_obj36.tsv',
    '/lxmert/vgnococo.json',
    '/mscoco_imgfeat/val2014_obj36.tsv',
    '/lxmert/mscoco_minival.json',
  ]);
});

test('features on the device are counted, and steps on them measured', async () => {
  const plain = await planRun({ sources: { flags: flags(), preset: 'tiny' }, steps: 0 });
  const resident = { ...flags(), 'resident-features': 'true' };
  const { parameters, memory, time } = await planRun({ sources: { flags: resident, preset: 'tiny' }, steps: 1 });
  // Two bytes for each of 128 numbers of an object.
  const [train, valid] = await Promise.all(
    ['train', 'valid'].map((split) => objectsOf(join(folder, 'data', `${split}.tsv`))),
  );
  expect(memory.arenas.features).toBe(2 * 128 * (train + valid));
  expect(plain.memory.arenas.features).toBe(0);
  expect(memory.arenas.inputs).toBeLessThan(plain.memory.arenas.inputs! / 2);
  expect(time!.secondsPerStep).toBeGreaterThan(0);

  const least = 16 * parameters + memory.arenas.features!;
  const tight = await planRun({
    sources: { flags: resident, preset: 'tiny' },
    steps: 1,
    memory: { process: 1000, available: least + 999 },
  });
  expect(tight.memory).toMatchObject({ process: 1000, total: least + 1000 });
  expect(tight.warnings[0]).toMatch(/needs at least .*without --resident-features/);
});

async function objectsOf(tsv: string): Promise<number> {
  const lines = (await readFile(tsv, 'utf8')).trimEnd().split('\n');
  return lines.reduce((sum, line) => sum + Number(line.split('\t')[7]), 0);
}

test('if a run needs more memory than the machine has, there is a warning before the memory is used', async () => {
  const huge = { ...flags(), 'hidden-size': '65536', 'num-attention-heads': '512', 'intermediate-size': '262144' };
  const { memory, time, warnings } = await planRun({ sources: { flags: huge, preset: 'base' }, steps: 1 });
  expect(memory.arenas).not.toHaveProperty('workspace');
  expect(time).toBeUndefined();
  expect(warnings[0]).toMatch(/memory: the run needs at least .* TB, the machine has .*--micro-batch-size/);
});

test('if the workspace does not fit, there is a warning, and no step is run', async () => {
  const many = { ...flags(), 'batch-size': '128' };
  const plan = (available: number) =>
    planRun({ sources: { flags: many, preset: 'tiny' }, steps: 1, memory: { process: 1000, available } });
  const { total } = (await plan(Infinity)).memory;
  const tight = await plan(total - 1);
  expect(tight.time).toBeUndefined();
  expect(tight.warnings[0]).toMatch(/^memory: the run needs \d/);
  const enough = await plan(total);
  expect(enough.time).toBeDefined();
  expect(enough.warnings).toEqual([]);
});

test('a plan without a data folder is an error', async () => {
  await expect(planRun({ sources: {}, steps: 0 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
});
