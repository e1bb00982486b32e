import { expect, test } from '@jest/globals';
import { loadRunConfig } from '../../src/config/loadConfig.js';
import { checkTaskMix, lossWeights, mixChanges } from '../../src/pretrain/taskMix.js';

test('with all tasks, the loss is the plain sum', async () => {
  const { tasks } = await loadRunConfig({});
  expect(lossWeights(tasks, 0, true)).toEqual({ maskedLm: 1, matched: 1, obj: 1, attr: 1, feat: 1, qa: 1 });
});

test('the mix of the paper begins QA in epoch 10, with weight 2', async () => {
  const { tasks } = await loadRunConfig({ preset: 'paper' });
  expect(lossWeights(tasks, 9, true).qa).toBe(0);
  expect(lossWeights(tasks, 10, true).qa).toBe(2);
  expect(lossWeights(tasks, 10, false).qa).toBe(0);
});

test('any subset of tasks and visual losses is accepted', async () => {
  const { tasks } = await loadRunConfig({
    flags: { tasks: 'objects,matched', 'visual-losses': 'attr', 'attr-weight': '3' },
  });
  expect(lossWeights(tasks, 0, true)).toEqual({ maskedLm: 0, matched: 1, obj: 0, attr: 3, feat: 0, qa: 0 });
});

test('a run without any loss is refused, with the reason', async () => {
  const qa = async (flags: Record<string, string>) => (await loadRunConfig({ flags: { tasks: 'qa', ...flags } })).tasks;
  expect(checkTaskMix(await qa({}), true, 20)).toEqual([]);
  const only = await qa({});
  expect(() => checkTaskMix(only, false, 1)).toThrow(/--tasks qa.*answer table/);
  const late = await qa({ 'qa-from-epoch': '3' });
  expect(() => checkTaskMix(late, true, 20)).toThrow(/epoch 0.*qa begins in epoch 3/);
  const nothing = await qa({ 'qa-weight': '0' });
  expect(() => checkTaskMix(nothing, true, 1)).toThrow(/no loss is on.*qa has weight 0/);
});

test('any task can be limited to a range of epochs', async () => {
  const { tasks } = await loadRunConfig({
    flags: { 'masked-lm-to-epoch': '2', 'objects-from-epoch': '1', 'objects-to-epoch': '3', 'visual-losses': 'obj' },
  });
  const on = [0, 1, 2, 3].map((epoch) => {
    const { maskedLm, obj, attr, matched } = lossWeights(tasks, epoch, true);
    return [maskedLm, obj, attr, matched];
  });
  expect(on).toEqual([
    [1, 0, 0, 1],
    [1, 1, 0, 1],
    [0, 1, 0, 1],
    [0, 0, 0, 1],
  ]);
  expect(mixChanges(tasks)).toEqual([0, 1, 2, 3]);
});

test('epochs without any task are refused if the run reaches them; a task that never begins is reported', async () => {
  const { tasks } = await loadRunConfig({
    flags: { tasks: 'matched,qa', 'matched-to-epoch': '2', 'qa-from-epoch': '4' },
  });
  expect(() => checkTaskMix(tasks, true, 3)).toThrow(/epoch 2 .*matched ends before epoch 2; qa begins in epoch 4/);
  expect(checkTaskMix(tasks, true, 2)).toEqual(['qa begins in epoch 4, after the end of this run']);
});

test('a task cannot end before it begins', async () => {
  const flags = { 'qa-from-epoch': '4', 'qa-to-epoch': '4' };
  await expect(loadRunConfig({ flags })).rejects.toMatchObject({
    code: 'BAD_ARGUMENT',
    message: '--qa-to-epoch: qa is on from epoch 4, so it must be off later than that; got 4',
  });
});
