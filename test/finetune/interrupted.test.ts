/** Runs the command in a separate process, which is killed or stopped. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompiledCopy } from '../train/support/compile.js';
import type { RunningProcess } from '../train/support/compile.js';
import type { CutShort } from '../train/support/cutShort.js';
import { filesOf, metricsOf, newestFiles } from '../train/support/runs.js';
import { questionScenes, smallModel } from './questionScenes.js';

jest.setTimeout(240_000);

let copy: CompiledCopy;
let folder: string;
let data: string;
beforeAll(async () => {
  copy = await CompiledCopy.make();
  folder = await mkdtemp(join(tmpdir(), 'lxmert-finetune-run-'));
  data = await questionScenes(join(folder, 'data'), 24);
});
afterAll(async () => {
  await copy.remove();
  await rm(folder, { recursive: true, force: true });
});

const usual = {
  ...smallModel,
  'hidden-dropout-prob': '0.1',
  preset: 'tiny',
  limit: '40',
  'batch-size': '8',
  'micro-batch-size': '4',
  'max-steps': '16',
  'save-every': '3',
  'valid-every': '4',
  device: 'cpu',
  threads: '1',
};

const commandOf = (task: string, out: string, more: readonly string[]): string[] => [
  'finetune',
  task,
  ...Object.entries({ data, out, ...usual }).flatMap(([flag, value]) => [`--${flag}`, value]),
  ...more,
];

const finetune = (task: string, out: string, ...more: string[]): RunningProcess =>
  copy.start('src/cli/main.js', commandOf(task, out, more));

const cutShort = (task: string, out: string, how: CutShort, ...more: string[]): RunningProcess =>
  copy.start('test/train/support/cutShort.js', [JSON.stringify(how), ...commandOf(task, out, more)]);

/** NLVR2 is tested too, because a question about two pictures is two samples of a batch, which changes how batches are cut. */
test.each(['vqa', 'nlvr2'])(
  '%s: a run that is killed, and resumed with workers, gives the same bits as an undisturbed run',
  async (task) => {
    const straight = join(folder, `${task}-straight`);
    const first = finetune(task, straight, '--workers', '0', '--json');
    expect(await first.ended).toBe(0);
    expect(JSON.parse(first.lines[0])).toMatchObject({ step: 16, finished: true });

    const killed = join(folder, `${task}-killed`);
    for (const [at, ...workers] of [
      ['step-00000003', '--workers', '2'],
      ['validation after step 8:', '--workers', '1'],
    ]) {
      const run = cutShort(task, killed, { signals: ['SIGKILL'], at }, '--resume', ...workers);
      expect(await run.ended).toBe('SIGKILL');
    }
    const stopped = cutShort(task, killed, { signals: ['SIGTERM'], at: 'step-00000009' }, '--resume', '--workers', '2');
    expect(await stopped.ended).toBe(143);
    expect(await finetune(task, killed, '--resume', '--workers', '2').ended).toBe(0);
    expect(await metricsOf(killed)).toEqual(await metricsOf(straight));
    expect(await newestFiles(killed)).toEqual(await newestFiles(straight));
    expect(await filesOf(killed)).toEqual(['checkpoints', 'config.json', 'metrics.jsonl']);
  },
);

test('ends early when the score no longer grows, and a resumed run does not train further', async () => {
  const out = join(folder, 'early');
  // The learning rate is too small to change a float32 weight: the score does not change, and the first score is the best.
  const still = ['--lr', '1e-30', '--early-stop', '2', '--max-steps', '100'];
  const run = finetune('vqa', out, ...still, '--json');
  expect(await run.ended).toBe(0);
  expect(JSON.parse(run.lines[0])).toMatchObject({ step: 12, finished: true, stoppedEarly: true, best: { step: 4 } });
  expect(run.errors).toContain('stops early: 2 validations in a row without a better score than');
  const again = finetune('vqa', out, ...still, '--resume');
  expect(await again.ended).toBe(0);
  expect(again.errors).toContain('it stopped early, after step 12');
});
