/** `evaluate` and `predict` must write and print the same on several ranks as in one process. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { RankRuns } from './support.js';

let runs: RankRuns;
let questions: string[];
beforeAll(async () => {
  runs = await RankRuns.make();
  const out = runs.fresh();
  const scenes = join(runs.folder, 'scenes');
  const model = ['--preset', 'tiny', '--device', 'cpu', '--hidden-size', '32', '--num-attention-heads', '2'];
  const rest = ['--intermediate-size', '32', '--max-steps', '1', '--batch-size', '8', '--valid', 'none'];
  const run = runs.start(['finetune', 'vqa', '--data', scenes, '--out', out, ...model, ...rest, '--threads', '1']);
  expect({ code: await run.ended, errors: run.errors }).toMatchObject({ code: 0 });
  const where = ['--checkpoint', join(out, 'checkpoints', 'last'), '--data', scenes, '--split', 'train'];
  questions = ['vqa', ...where, '--device', 'cpu', '--threads', '1', '--batch-size', '5'];
});
afterAll(() => runs.remove());

test('the same scores and the same file from one process and from three ranks', async () => {
  const results: string[] = [];
  for (const ranks of [1, 3]) {
    const file = join(runs.folder, 'predictions.json');
    const run = runs.start(['evaluate', ...questions, '--predictions', file, '--json', '--ranks', `${ranks}`]);
    expect({ code: await run.ended, errors: run.errors }).toMatchObject({ code: 0 });
    results.push(`${run.lines.join('\n')}\n${await readFile(file, 'utf8')}`);
  }
  expect(results[1]).toBe(results[0]);
  expect(JSON.parse(results[0].split('\n')[0])).toMatchObject({ accuracy: expect.any(Number), questions: 35 });
});

test('ranks with other questions are refused; a file that cannot be written ends all of them', async () => {
  const out = join(runs.folder, 'refused.json');
  const all = await runs.startEach(2, ['predict', ...questions, '--out', out], { 1: ['--limit', '3'] });
  expect(await Promise.all(all.map(({ ended }) => ended))).toEqual([2, 1]);
  expect(all[0].errors).toMatch(/the ranks do not agree[^]*--limit: 3 on rank 1/);
  const failing = await runs.startEach(2, ['predict', ...questions, '--out', join(runs.folder, 'no', 'file.json')]);
  expect(await Promise.all(failing.map(({ ended }) => ended))).toEqual([1, 1]);
  expect(failing[0].errors).toMatch(/lxmert: rank 0 \(.+\): cannot write .*no\/file.json/);
  expect(failing[1].errors).not.toMatch(/lxmert:/);
});
