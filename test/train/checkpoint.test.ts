import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtemp, readFile, readdir, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelConfigSchema } from '../../src/config/modelConfig.js';
import { fromTransformersJson, toTransformersJson } from '../../src/config/transformers.js';
import {
  loadCheckpoint,
  loadWeights,
  readCheckpointAnswers,
  readTrainerState,
  writeCheckpoint,
} from '../../src/train/checkpoint.js';
import { CheckpointStore } from '../../src/train/checkpointStore.js';
import type { StoredModel } from '../../src/train/trainable.js';
import { parseTrainerState } from '../../src/train/trainerState.js';
import { CompiledCopy } from './support/compile.js';
import { FakeModel } from './support/fakeModel.js';
import { stateAt } from './support/states.js';

let parent: string;
let folder: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'checkpoint-'));
});
beforeEach(async () => {
  folder = join(await mkdtemp(join(parent, 'run-')), 'checkpoints');
});
afterAll(() => rm(parent, { recursive: true, force: true }));

const files = { 'config.json': toTransformersJson(modelConfigSchema.parse({})) };

async function trained(steps = 3): Promise<FakeModel> {
  const model = new FakeModel();
  await model.initialize(1);
  for (let step = 0; step < steps; step++) {
    const weights = { maskedLm: 1, matched: 1, obj: 1, attr: 1, feat: 1, qa: 1 };
    await model.step([], { step, learningRate: 0.1, seed: 1, weights });
  }
  return model;
}

async function allState(model: StoredModel) {
  const kinds = ['parameter', 'firstMoment', 'secondMoment'] as const;
  return Promise.all(
    kinds.flatMap((kind) =>
      model.parameters.map(async ({ name }) => [kind, name, [...(await model.read(kind, name))]]),
    ),
  );
}

async function saved(): Promise<{ path: string; model: FakeModel; store: CheckpointStore }> {
  const store = new CheckpointStore(folder, { keep: 2 });
  await store.prepare();
  const model = await trained();
  const path = await store.save({
    model,
    state: stateAt(40),
    files: { ...files, 'answers.json': '["yes","no","zwei"]\n' },
  });
  return { path, model, store };
}

/** Flips one bit of a file. */
async function damage(file: string, byte: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[byte] ^= 4;
  await writeFile(file, bytes);
}

test('one changed bit of a tensor is found', async () => {
  const { path } = await saved();
  for (const name of ['model.safetensors', 'optimizer-00000.safetensors']) {
    const file = join(path, name);
    const { length } = await readFile(file);
    const [first] = await readFile(file).then((bytes) => [8 + Number(bytes.readBigUInt64LE(0))]);
    for (const byte of [first, first + 1, Math.floor((first + length) / 2), length - 1]) {
      await damage(file, byte);
      await expect(loadCheckpoint(path, new FakeModel())).rejects.toMatchObject({
        code: 'BAD_CHECKPOINT',
        message: expect.stringMatching(
          `^${file}: it is damaged: .* Move ${path} away, and --resume continues from the checkpoint before it$`,
        ),
      });
      const weights = loadWeights(path, new FakeModel());
      if (name === 'model.safetensors') await expect(weights).rejects.toMatchObject({ code: 'BAD_CHECKPOINT' });
      else await weights;
      await damage(file, byte);
    }
  }
  await loadCheckpoint(path, new FakeModel());
});

test('a checkpoint without checksums is loaded; a damaged file of checksums is refused', async () => {
  const { path } = await saved();
  const file = join(path, 'checksums.json');
  await writeFile(file, '[');
  await expect(loadCheckpoint(path, new FakeModel())).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringContaining(file),
  });
  await rm(file);
  await loadCheckpoint(path, new FakeModel());
});

test('a checkpoint has all documented files, and loading it restores all values', async () => {
  const { path, model } = await saved();
  expect(path).toBe(join(folder, 'step-00000040'));
  expect((await readdir(path)).sort()).toEqual([
    'answers.json',
    'checksums.json',
    'config.json',
    'model.safetensors',
    'optimizer-00000.safetensors',
    'trainer_state.json',
  ]);
  expect(await readlink(join(folder, 'last'))).toBe('step-00000040');
  const other = new FakeModel();
  expect(await loadCheckpoint(path, other)).toEqual({ loaded: 3, missing: [], unexpected: [], misshapen: [] });
  expect(await allState(other)).toEqual(await allState(model));
  expect(await readTrainerState(path)).toEqual(stateAt(40));
  expect(await readCheckpointAnswers(path)).toEqual(['yes', 'no', 'zwei']);
  expect(fromTransformersJson(await readFile(join(path, 'config.json'), 'utf8'), 'f')).toEqual(
    modelConfigSchema.parse({}),
  );
});

test('a checkpoint is read one tensor at a time', async () => {
  const model = await trained();
  let open = 0;
  let most = 0;
  const counting: StoredModel = new Proxy(model, {
    get(target, key) {
      if (key !== 'read') {
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      }
      return async (...args: Parameters<StoredModel['read']>) => {
        most = Math.max(most, ++open);
        await new Promise((done) => setImmediate(done));
        open--;
        return target.read(...args);
      };
    },
  });
  await writeCheckpoint(join(parent, 'streamed'), { model: counting, state: stateAt(1), files });
  expect(most).toBe(1);
});

describe('the store', () => {
  test('keeps the newest two and the best, and its links point at them', async () => {
    const model = await trained();
    const store = new CheckpointStore(folder, { keep: 2 });
    await store.prepare();
    for (const step of [10, 20, 30, 40, 50])
      await store.save({ model, state: stateAt(step, { best: { step: Math.min(step, 20), loss: 1 } }), files });
    expect((await readdir(folder)).sort()).toEqual(['best', 'last', 'step-00000020', 'step-00000040', 'step-00000050']);
    expect(await readlink(join(folder, 'last'))).toBe('step-00000050');
    expect(await readlink(join(folder, 'best'))).toBe('step-00000020');
    await store.save({ model, state: stateAt(60, { best: { step: 60, loss: 0.5 } }), files });
    expect(await store.steps()).toEqual([50, 60]);
    await store.clear();
    expect(await readdir(folder)).toEqual([]);
  });

  test('after a failed save, only the previous checkpoint exists, and it is complete', async () => {
    const { path, model, store } = await saved();
    const before = await allState(model);
    const full = new Proxy(model, {
      get: (target, key) =>
        key === 'read'
          ? (kind: string, name: string) =>
              kind === 'secondMoment'
                ? Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }))
                : target.read(kind as 'parameter', name)
          : (Reflect.get(target, key, target) as unknown),
    });
    await expect(store.save({ model: full, state: stateAt(41), files })).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: expect.stringMatching(/step-00000041.*: the disk is full; free some space/),
    });
    expect((await readdir(folder)).sort()).toEqual(['last', 'step-00000040']);
    const other = new FakeModel();
    await loadCheckpoint(path, other);
    expect(await allState(other)).toEqual(before);
  });

  test('repairs wrong links that a killed process left', async () => {
    const { store, model } = await saved();
    await writeCheckpoint(store.path(50), { model, state: stateAt(50, { best: { step: 50, loss: 1 } }), files });
    await store.settle(50);
    expect(await readlink(join(folder, 'last'))).toBe('step-00000050');
    expect(await readlink(join(folder, 'best'))).toBe('step-00000050');
    await store.settle(undefined);
    expect(await readdir(folder)).not.toContain('best');
  });
});

describe('a checkpoint that does not fit', () => {
  const refused = async (model: StoredModel, message: RegExp, path = join(folder, 'step-00000040')) => {
    const before = await allState(model);
    await expect(loadCheckpoint(path, model)).rejects.toMatchObject({
      code: 'BAD_CHECKPOINT',
      message: expect.stringMatching(message),
    });
    expect(await allState(model)).toEqual(before);
  };

  test('of other shapes, names or layers is refused before anything is written to the model', async () => {
    await saved();
    const [words, ...rest] = new FakeModel().parameters;
    await refused(
      new FakeModel({ parameters: [{ ...words, shape: [4, 7] }, ...rest] }),
      /model\.safetensors: it does not fit the model: 2 tensors fit, 1 of another shape \(lxmert\.embeddings\.word_embeddings\.weight: file \[7,4\], model \[4,7\]\)/,
    );
    await refused(new FakeModel({ ballast: 2 }), /1 missing \(cls\.ballast\)/);
    await refused(new FakeModel({ parameters: rest }), /1 unknown to the model \(lxmert\.embeddings/);
  });

  test.each(['model.safetensors', 'optimizer-00000.safetensors'])('with a damaged %s is refused', async (name) => {
    const { path } = await saved();
    const whole = await readFile(join(path, name));
    for (const length of [0, 7, 100, whole.length - 1]) {
      await writeFile(join(path, name), whole);
      await truncate(join(path, name), length);
      await refused(new FakeModel(), new RegExp(`${name}: `));
    }
    await rm(join(path, name));
    await expect(loadCheckpoint(path, new FakeModel())).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });

  test('with a damaged trainer state is refused, with the field', () => {
    const text = JSON.stringify(stateAt(3));
    expect(parseTrainerState(text, 'f')).toEqual(stateAt(3));
    for (const bad of ['', '[]', 'null', text.slice(0, -1), text.replace('"step":3', '"step":-3'), '{"format":2}'])
      expect(() => parseTrainerState(bad, 'f')).toThrow(/^f: /);
    expect(() => parseTrainerState(text.replace('"step":3', '"step":-3'), 'f')).toThrow(
      /^f: step: expected at least 0$/,
    );
    expect(() => parseTrainerState(text.replace('"format":1', '"format":2'), 'f')).toThrow(
      /^f: it has format 2, of a newer lxmert; this one reads format 1/,
    );
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(() => parseTrainerState(json, 'f')).toThrow(expect.objectContaining({ code: 'BAD_CHECKPOINT' }));
      }),
    );
  });
});

describe('kill -9 while saving', () => {
  let copy: CompiledCopy;
  beforeAll(async () => {
    copy = await CompiledCopy.make();
  });
  afterAll(() => copy.remove());

  test('all checkpoints are complete, and the last reported checkpoint exists', async () => {
    let reported = 0;
    for (let round = 0; round < 12; round++) {
      const saver = copy.start('test/train/support/saver.js', [folder]);
      await saver.line(/^saved/);
      await new Promise((done) => setTimeout(done, Math.random() * 60));
      saver.kill('SIGKILL');
      expect(await saver.ended).toBe('SIGKILL');
      reported = Number(saver.lines.at(-1)!.split(' ')[1]);

      const store = new CheckpointStore(folder, { keep: 2 });
      const steps = await store.steps();
      expect(steps.at(-1)).toBeGreaterThanOrEqual(reported);
      for (const step of steps) {
        const model = new FakeModel({ ballast: 300_000 });
        await loadCheckpoint(store.path(step), model);
        expect((await readTrainerState(store.path(step))).step).toBe(step);
        for (const [, , values] of await allState(model))
          expect((values as number[]).every((v) => v === step)).toBe(true);
      }
      for (const link of ['last', 'best'])
        expect(steps).toContain(Number((await readlink(join(folder, link))).slice('step-'.length)));
    }
    // Each round waits for at least one checkpoint; the next round continues from the checkpoints of this one.
    expect(reported).toBeGreaterThanOrEqual(12);
  });
});
