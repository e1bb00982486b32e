/** Models in the file formats of other programs are evaluated and queried like checkpoints. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { FinetuneTask } from '../../src/config/finetuneConfig.js';
import { finetune, openModel, predict } from '../../src/finetune/index.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';
import { convertWeights } from '../../src/weights/index.js';
import { questionScenes, smallModel } from './questionScenes.js';
import { command, refused } from './support.js';

jest.setTimeout(240_000);

let folder: string;
let data: string;
const engine = { device: 'cpu', threads: 1 } as const;
const last = (task: string): string => join(folder, task, 'checkpoints/last');
const ask = (task: FinetuneTask) => ({ task, data, splits: ['valid'], limit: 24, top: 3, engine });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-other-weights-'));
  data = await questionScenes(join(folder, 'data'), 12);
  for (const task of ['vqa', 'nlvr2']) {
    const run = {
      data,
      out: join(folder, task),
      task,
      train: 'train',
      valid: 'none',
      'max-steps': '3',
      'batch-size': '8',
    };
    await finetune({ sources: { flags: { ...smallModel, ...run, lr: '1e-2', device: 'cpu', threads: '1' } } });
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes the weights of a checkpoint in the original's format, in a folder without other files. */
async function alone(task: string): Promise<string> {
  const converted = join(folder, `${task}-original/BEST.pth`);
  mkdirSync(dirname(converted), { recursive: true });
  await convertWeights(last(task), converted, { to: 'original', parametersOf: pretrainParameters });
  const bare = join(folder, `${task}-alone/BEST.pth`);
  mkdirSync(dirname(bare));
  copyFileSync(converted, bare);
  return bare;
}

test('a .pth of the original answers like the checkpoint from which it was made, if its answer list is given', async () => {
  const bare = await alone('vqa');
  const expected = await predict({ ...ask('vqa'), checkpoint: last('vqa') });
  const answers = join(last('vqa'), 'answers.json');
  const request = { ...ask('vqa'), checkpoint: bare, attentionHeads: 2 };
  expect((await predict({ ...request, answers })).predictions).toEqual(expected.predictions);
  await refused(predict(request), 'BAD_CHECKPOINT', bare, 'answers.json', '--answers');
  await refused(predict({ ...request, answers: ['yes', 'no'] }), 'BAD_CHECKPOINT', 'has 2 answers', 'head has 10');
  await refused(predict({ ...request, answers: join(folder, 'gone.json') }), 'FILE_MISSING', 'gone.json');
  await refused(predict({ ...request, answers, attentionHeads: 5 }), 'BAD_CHECKPOINT', 'numAttentionHeads');

  // A list with the original's file name is found in the folder of the weights.
  const list = JSON.parse(readFileSync(answers, 'utf8')) as string[];
  writeFileSync(join(dirname(bare), 'trainval_label2ans.json'), JSON.stringify(list));
  expect((await predict(request)).predictions).toEqual(expected.predictions);
  await using model = await openModel(bare, { ...engine, attentionHeads: 2 });
  expect(model.answers).toEqual(list);
});

test('a .pth for NLVR2 needs no list of answers, and is refused for other tasks', async () => {
  const bare = await alone('nlvr2');
  const { predictions } = await predict({ ...ask('nlvr2'), checkpoint: last('nlvr2') });
  const request = { ...ask('nlvr2'), checkpoint: bare, attentionHeads: 2 };
  expect((await predict(request)).predictions).toEqual(predictions);
  await refused(predict({ ...request, task: 'vqa' }), 'BAD_CHECKPOINT', 'needs 2 pictures');
});

test('the commands accept a folder that transformers wrote', async () => {
  const out = join(folder, 'hf');
  await convertWeights(last('vqa'), out, { parametersOf: pretrainParameters });
  const table = {
    evaluate: () => import('../../src/cli/evaluate.js'),
  };
  const flags = ['--data', data, '--split', 'valid', '--limit', '24', '--device', 'cpu', '--threads', '1', '--json'];
  const scores = [];
  for (const checkpoint of [out, last('vqa')]) {
    const { out: text } = await command(table, 'evaluate', 'vqa', '--checkpoint', checkpoint, ...flags);
    scores.push(JSON.parse(text));
  }
  expect(scores[0]).toEqual(scores[1]);
});

test('a missing file and a file without weights are refused', async () => {
  const request = { ...ask('vqa'), checkpoint: join(folder, 'gone.pth') };
  await refused(predict(request), 'FILE_MISSING', 'gone.pth');
  writeFileSync(join(folder, 'text.pth'), 'no weights');
  await refused(predict({ ...request, checkpoint: join(folder, 'text.pth') }), 'BAD_CHECKPOINT', 'text.pth');
});
