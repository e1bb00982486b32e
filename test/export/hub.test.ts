import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { exportHub } from '../../src/export/index.js';
import type { ExportHubOptions } from '../../src/export/index.js';
import { finetune, openModel } from '../../src/finetune/index.js';
import { questionScenes, smallModel } from '../finetune/questionScenes.js';
import { command, refused } from '../finetune/support.js';
import { digestOfWeights, readJson } from '../weights/support.js';
import { modelOf } from './support.js';

jest.setTimeout(240_000);

const table = { export: () => import('../../src/cli/export.js') };
const engine = { device: 'cpu', threads: 1 } as const;

let folder: string;
let run: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-hub-'));
  const data = await questionScenes(at('data'), 12);
  run = at('vqa');
  const flags = { data, out: run, task: 'vqa', train: 'train', valid: 'valid', 'max-steps': '3', 'batch-size': '8' };
  await finetune({ sources: { flags: { ...smallModel, ...flags, lr: '1e-2', ...engine, threads: '1' } } });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The front matter of a model card, and the text after it. */
function cardOf(path: string) {
  const [, matter, text] = /^---\n(.*?)\n---\n(.*)$/s.exec(readFileSync(join(path, 'README.md'), 'utf8'))!;
  return { matter: parse(matter) as Record<string, unknown>, text };
}

const shared = ['README.md', 'config.json', 'model.safetensors'];
const tokenizer = ['special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'];

test('the folder of a run has all files, and its model answers like that of the run', async () => {
  const made = await exportHub(run, { out: at('hub') });
  expect(made.files).toEqual([...shared, ...tokenizer, 'answers.json', 'task.json'].sort());
  expect(readdirSync(at('hub')).sort()).toEqual(made.files);
  const checkpoint = join(run, 'checkpoints/best');
  expect(await digestOfWeights(at('hub'))).toEqual(await digestOfWeights(checkpoint));
  const answers = readJson(checkpoint, 'answers.json') as string[];
  const config = readJson(at('hub'), 'config.json') as Record<string, Record<string, unknown>>;
  expect(config).toMatchObject({ architectures: ['LxmertForQuestionAnswering'], num_qa_labels: answers.length });
  expect(Object.values(config.id2label)).toEqual(answers);
  expect(config.label2id[answers[1]]).toBe(1);
  expect(readJson(at('hub'), 'tokenizer_config.json')).toMatchObject({ do_lower_case: true, model_max_length: 20 });
  expect(readFileSync(join(at('hub'), 'vocab.txt'), 'utf8').split('\n')[101]).toBe('[CLS]');

  const picture = { features: new Float32Array(2 * 128).fill(0.5), boxes: Float32Array.of(0, 0, 1, 1, 0.2, 0.2, 1, 1) };
  await using ours = await openModel(run, engine);
  await using theirs = await openModel(at('hub'), engine);
  expect(await theirs.answer(picture, 'is it red?')).toEqual(await ours.answer(picture, 'is it red?'));
});

test('the model card gives data, training, results and two programs', async () => {
  await exportHub(run, { out: at('card'), name: 'a model: *starred*\n--- # "quoted"' });
  const { matter, text } = cardOf(at('card'));
  const metrics = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const { score } = JSON.parse(metrics.find((line) => line.includes('"split"'))!) as { score: number };
  expect(matter).toMatchObject({ library_name: 'transformers', pipeline_tag: 'visual-question-answering' });
  expect(matter['model-index']).toMatchObject([
    {
      name: 'a model: *starred*\n--- # "quoted"',
      results: [
        { dataset: { type: 'vqa', name: 'valid of data' }, metrics: [{ value: Math.round(score * 1e4) / 1e4 }] },
      ],
    },
  ]);
  expect(text).toContain('\n# a model: \\*starred\\* --- # "quoted"\n');
  expect(text).toContain('- data: train of data\n- initial weights: random\n- optimizer steps: 3\n- batch size: 8\n');
  expect(text).toContain(`| score of the questions | ${(100 * score).toFixed(1)} % |`);
  expect(text).toContain('LxmertForQuestionAnswering.from_pretrained(folder)');
  expect(text).toContain('torch.rand(1, 36, 128)');
  expect(text).toContain('npx lxmert evaluate vqa --checkpoint FOLDER');
  expect(text).not.toContain(folder);
});

test.each([
  ['finetune-nlvr2', 'nlvr2', ['answers.json'], 'has no class for the head that reads two pictures'],
  ['finetune-vqa', 'questionAnswering', [], 'nothing is known about their training'],
  ['tiny', 'pretraining', [], 'No results of a validation are known'],
] as const)('%s: weights without a run and without a vocabulary', async (name, kind, more, words) => {
  const made = await exportHub(modelOf(name, at('models')), { out: at(`hub-${name}`) });
  expect(made).toMatchObject({ kind, files: [...shared, ...more].sort() });
  expect(made.notes.join('\n')).toContain('--vocabulary');
  const { text } = cardOf(at(`hub-${name}`));
  expect(text).toContain(words);
  expect(text).not.toContain('```python');
});

test('a run whose description is damaged is exported, with a note', async () => {
  cpSync(run, at('damaged'), { recursive: true, verbatimSymlinks: true });
  writeFileSync(at('damaged/config.json'), '{');
  const { notes } = await exportHub(at('damaged'), { out: at('hub-damaged') });
  expect(notes.join('\n')).toContain('the model card does not describe the training');
});

test('an existing folder, a wrong path and a signal: nothing is written', async () => {
  const write = (out: string, options: Partial<ExportHubOptions> = {}) => exportHub(run, { out, ...options });
  const before = readdirSync(folder);
  await refused(write(run), 'BAD_ARGUMENT', run, 'exists already');
  await refused(write(at('data/all_ans.json/hub')), 'FILE_ACCESS', 'all_ans.json');
  await refused(exportHub(at('gone'), { out: at('new') }), 'FILE_MISSING', at('gone'));
  await refused(write(at('new'), { answers: ['yes'] }), 'BAD_CHECKPOINT', 'has 1 answers');
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(write(at('new'), { signal })).rejects.toThrow('enough');
  expect(readdirSync(folder)).toEqual(before);
});

test('the command names the files that it wrote', async () => {
  const { code, out } = await command(table, 'export', 'hub', run, '--out', at('by-command'), '--json');
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ out: at('by-command'), kind: 'questionAnswering' });
  const again = await command(table, 'export', 'hub', run, '--out', at('by-command'));
  expect(again).toMatchObject({ code: 2, err: expect.stringContaining('exists already') as unknown });
});
