import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile, writeSafetensors } from '../../src/formats/safetensors.js';
import { loadInitialWeights } from '../../src/train/initialWeights.js';
import { pretrain } from '../../src/pretrain/pretrain.js';
import { FakeModel } from './support/fakeModel.js';
import { fakeParts } from './support/fakeParts.js';
import { fakeRun, shortRun } from './support/runs.js';

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'initial-'));
});
afterAll(() => rm(parent, { recursive: true, force: true }));

const encoder = { 'lxmert.embeddings.word_embeddings.weight': [7, 4], 'lxmert.pooler.dense.bias': [5] };
const head = { 'answer_head.logit_fc.3.weight': [3, 2], 'answer_head.logit_fc.3.bias': [3] };

async function fresh(): Promise<FakeModel> {
  const parameters = Object.entries({ ...encoder, ...head, 'cls.seq_relationship.bias': [2] });
  const model = new FakeModel({ parameters: parameters.map(([name, shape]) => ({ name, shape })) });
  await model.initialize(1);
  return model;
}

/** A checkpoint in which element i of every tensor is 100 + i. */
async function checkpoint(tensors: Readonly<Record<string, readonly number[]>>, answers?: unknown): Promise<string> {
  const path = await mkdtemp(join(parent, 'weights-'));
  const specs = Object.entries(tensors).map(([name, shape]) => ({ name, dtype: 'F32' as const, shape }));
  const file = join(path, 'model.safetensors');
  await writeSafetensors(file, specs, (name) =>
    Float32Array.from({ length: tensors[name].reduce((a, b) => a * b, 1) }, (_, i) => 100 + i),
  );
  if (answers !== undefined) await writeFile(join(path, 'answers.json'), JSON.stringify(answers));
  return path;
}

const values = async (model: FakeModel, name: string) => [...(await model.read('parameter', name))];

test('heads may be missing or differ, and a note names the weights that were not loaded', async () => {
  const model = await fresh();
  const before = await values(model, 'cls.seq_relationship.bias');
  const path = await checkpoint({
    ...encoder,
    'cls.seq_relationship.bias': [3],
    other: [1],
    'cls.predictions.decoder.weight': [7, 4],
  });
  expect(await loadInitialWeights(path, model)).toEqual({
    loaded: 2,
    missing: [],
    unexpected: ['other'],
    misshapen: ['cls.seq_relationship.bias: file [3], model [2]'],
    groups: [
      { group: 'textEmbeddings', parameters: 28, loaded: 28, share: 1 },
      { group: 'pooler', parameters: 5, loaded: 5, share: 1 },
      { group: 'answerHead', parameters: 9, loaded: 0, share: 0 },
      { group: 'matchedHead', parameters: 2, loaded: 0, share: 0 },
    ],
    notes: [],
  });
  expect(await values(model, 'lxmert.pooler.dense.bias')).toEqual([100, 101, 102, 103, 104]);
  expect(await values(model, 'cls.seq_relationship.bias')).toEqual(before);
});

test('if a run folder is given instead of a checkpoint, the message says so', async () => {
  const run = await mkdtemp(join(parent, 'run-'));
  await mkdir(join(run, 'checkpoints/step-00000003'), { recursive: true });
  await expect(loadInitialWeights(run, await fresh())).rejects.toMatchObject({
    code: 'RUN_FOLDER',
    message: `${run} is a run; initial weights come from one of its checkpoints, such as ${join(run, 'checkpoints/last')}`,
  });
});

test('the names of the original are accepted, too', async () => {
  const model = await fresh();
  const original = Object.fromEntries(
    Object.entries(encoder).map(([name, shape]) => [name.replace('lxmert', 'bert'), shape]),
  );
  expect(await loadInitialWeights(await checkpoint(original), model)).toMatchObject({ loaded: 2, unexpected: [] });
  expect((await values(model, 'lxmert.pooler.dense.bias'))[0]).toBe(100);
});

test('a missing encoder is an error', async () => {
  const { 'lxmert.pooler.dense.bias': _, ...rest } = encoder;
  await expect(loadInitialWeights(await checkpoint(rest), await fresh())).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/1 encoder weights are missing or of another shape: lxmert\.pooler\.dense\.bias/),
  });
  await expect(loadInitialWeights(join(parent, 'gone'), await fresh())).rejects.toMatchObject({ code: 'FILE_MISSING' });
});

test('missing encoder weights are allowed if they are named', async () => {
  const { 'lxmert.pooler.dense.bias': _, ...rest } = encoder;
  const model = await fresh();
  const before = await values(model, 'lxmert.pooler.dense.bias');
  const path = await checkpoint(rest);
  const coverage = await loadInitialWeights(path, model, undefined, undefined, ['lxmert.pooler.*']);
  expect(coverage).toMatchObject({ loaded: 1, missing: ['lxmert.pooler.dense.bias', 'cls.seq_relationship.bias'] });
  expect(await values(model, 'lxmert.pooler.dense.bias')).toEqual(before);
  await expect(loadInitialWeights(path, model, undefined, undefined, ['lxmert.popler.*'])).rejects.toMatchObject({
    code: 'BAD_ARGUMENT',
    message: expect.stringContaining("'lxmert.popler.*' names no parameter"),
  });
});

test('another number of attention heads is refused: the same weights would compute something else', async () => {
  const path = await checkpoint(encoder);
  await writeFile(join(path, 'config.json'), JSON.stringify({ hidden_size: 4, num_attention_heads: 2 }));
  await expect(loadInitialWeights(path, await fresh())).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringContaining('its config.json says 2 attention heads; the model has 12'),
  });
});

test('each answer gets the row of the same answer, in any spelling and order; the rows of new answers become zeros', async () => {
  const model = await fresh();
  const path = await checkpoint(
    { ...encoder, 'answer_head.logit_fc.3.weight': [4, 2], 'answer_head.logit_fc.3.bias': [4] },
    ['left', 'Yes', 'red', 'no'],
  );
  const coverage = await loadInitialWeights(path, model, ['no', 'yes', 'blue']);
  expect(coverage).toMatchObject({ loaded: 2, unexpected: [], answers: { carried: 2, of: 3 } });
  expect(await values(model, 'answer_head.logit_fc.3.weight')).toEqual([106, 107, 102, 103, 0, 0]);
  expect(await values(model, 'answer_head.logit_fc.3.bias')).toEqual([103, 101, 0]);
});

test.each<[string, object, unknown]>([
  ['no answers.json', head, undefined],
  ['fewer rows than answers', { ...head, 'answer_head.logit_fc.3.bias': [2] }, ['yes', 'no', 'two']],
  ['another width', { ...head, 'answer_head.logit_fc.3.weight': [3, 5] }, ['yes', 'no', 'two']],
  ['no answer head', {}, ['yes', 'no', 'two']],
])('%s: the answer head keeps its random initial weights', async (_, tensors, answers) => {
  const model = await fresh();
  const before = await values(model, 'answer_head.logit_fc.3.weight');
  const path = await checkpoint({ ...encoder, ...(tensors as typeof head) }, answers);
  const coverage = await loadInitialWeights(path, model, ['two', 'no', 'yes']);
  expect(coverage.answers).toEqual({ carried: 0, of: 3 });
  expect(await values(model, 'answer_head.logit_fc.3.weight')).toEqual(before);
});

test.each([{ a: 1 }, [1]])('answers that are not a list of strings are refused: %j', async (answers) => {
  await expect(loadInitialWeights(await checkpoint(encoder, answers), await fresh())).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/answers\.json: expected a list of answers/),
  });
});

test('a run looks for the weights of --init before it opens any data', async () => {
  const init = join(parent, 'nowhere');
  const run = pretrain(
    { sources: { flags: { ...shortRun(join(parent, 'early')), init } } },
    { ...fakeParts(), openData: () => Promise.reject(new Error('data were opened')) },
  );
  await expect(run).rejects.toMatchObject({ code: 'FILE_MISSING', message: expect.stringContaining(init) });
});

test('a run begins with the weights of --init, and says what it loaded', async () => {
  const first = join(parent, 'first');
  await fakeRun(first, { flags: { 'max-steps': '6' } });
  const out = join(parent, 'second');
  const { notes } = await fakeRun(out, {
    flags: { init: join(first, 'checkpoints/last'), 'max-steps': '1', seed: '3' },
  });
  expect(notes.join()).toMatch(/initial weights from .*last: 2 of 3 tensors; rows of 0 of 3 answers/);
  // The first update has learning rate 0, so the weights are the same after one step.
  const [a, b] = await Promise.all(
    [first, out].map(async (run) => SafetensorsFile.open(join(run, 'checkpoints/last/model.safetensors'))),
  );
  expect(await b.read('lxmert.pooler.dense.bias')).toEqual(await a.read('lxmert.pooler.dense.bias'));
  await Promise.all([a.close(), b.close()]);
  expect(JSON.parse(await readFile(join(out, 'config.json'), 'utf8'))).toMatchObject({
    init: join(first, 'checkpoints/last'),
  });
});

test('a run whose initial weights lack a part of the encoder needs --allow-missing, and names the missing weights', async () => {
  const init = await checkpoint({ 'lxmert.pooler.dense.bias': [5], 'lxmert.embeddings.other': [1] });
  const model = { parameters: Object.entries(encoder).map(([name, shape]) => ({ name, shape })) };
  const flags = { init, 'max-steps': '1' };
  await expect(fakeRun(join(parent, 'lacking'), { flags, fake: model })).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/1 encoder weights are missing .*word_embeddings.*--allow-missing/),
  });
  const allowed = { ...flags, 'allow-missing': 'lxmert.embeddings.*' };
  const { notes } = await fakeRun(join(parent, 'allowed'), { flags: allowed, fake: model });
  expect(notes.join()).toMatch(
    /initial weights from .*: 1 of 2 tensors; rows of 0 of 3 answers; found only in part: textEmbeddings 0\.0 % of the parameters; random \(1\): lxmert\.embeddings\.word_embeddings\.weight; not used \(1\): lxmert\.embeddings\.other/,
  );
  const unknown = { ...flags, 'allow-missing': 'lxmert.nowhere.*' };
  await expect(fakeRun(join(parent, 'unknown'), { flags: unknown, fake: model })).rejects.toThrow(
    /--allow-missing 'lxmert\.nowhere\.\*' names no parameter of the model/,
  );
});
