import { expect, test } from '@jest/globals';
import { loadRunConfig } from '../../src/config/loadConfig.js';
import { checkTaskMix, lossWeights } from '../../src/train/taskMix.js';

test('all on is the plain sum', async () => {
  const { tasks } = await loadRunConfig({});
  expect(lossWeights(tasks, 0, true)).toEqual({ maskedLm: 1, matched: 1, obj: 1, attr: 1, feat: 1, qa: 1 });
});

test('the paper begins QA in epoch 10, with weight 2', async () => {
  const { tasks } = await loadRunConfig({ preset: 'paper' });
  expect(lossWeights(tasks, 9, true).qa).toBe(0);
  expect(lossWeights(tasks, 10, true).qa).toBe(2);
  expect(lossWeights(tasks, 10, false).qa).toBe(0);
});

test('any subset of tasks and visual losses', async () => {
  const { tasks } = await loadRunConfig({
    flags: { tasks: 'objects,matched', 'visual-losses': 'attr', 'attr-weight': '3' },
  });
  expect(lossWeights(tasks, 0, true)).toEqual({ maskedLm: 0, matched: 1, obj: 0, attr: 3, feat: 0, qa: 0 });
});

test('a run without any loss is refused, with the reason', async () => {
  const qa = async (flags: Record<string, string>) => (await loadRunConfig({ flags: { tasks: 'qa', ...flags } })).tasks;
  checkTaskMix(await qa({}), true);
  const only = await qa({});
  expect(() => checkTaskMix(only, false)).toThrow(/--tasks qa.*no answer table/);
  const late = await qa({ 'qa-from-epoch': '3' });
  expect(() => checkTaskMix(late, true)).toThrow(/QA begins in epoch 3/);
  const nothing = await qa({ 'qa-weight': '0' });
  expect(() => checkTaskMix(nothing, true)).toThrow(/no loss is on/);
});
