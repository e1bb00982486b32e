import { afterEach, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runParity } from '../../src/parity/parity.js';
import { fixture } from './support.js';

const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

test.each([
  ['finetune-vqa', { outputs: 4, losses: 3, gradients: 137 }],
  ['finetune-nlvr2', { outputs: 4, losses: 1, gradients: 79 }],
])(
  '%s: outputs, losses, every gradient, eight steps, and the parameters that these do not change',
  async (name, counts) => {
    const report = await runParity(fixture(name));
    const of = (kind: string) => report.kinds.find((one) => one.kind === kind);
    for (const [kind, count] of Object.entries(counts)) expect([kind, of(kind)?.compared]).toEqual([kind, count]);
    for (const { worst, kind } of report.kinds) expect([kind, worst <= 1e-4]).toEqual([kind, true]);
    const trajectory = report.comparisons.filter(({ kind }) => kind === 'trajectory');
    const losses = trajectory.filter((one) => one.name.startsWith('loss'));
    expect(losses).toHaveLength(9);
    for (const { difference, norm } of losses) expect(difference / norm).toBeLessThan(1e-5);
    const untouched = trajectory.filter((one) => one.name.startsWith('untouched'));
    expect(untouched).toHaveLength(16);
    for (const { difference } of untouched) expect(difference).toBe(0);
    expect(trajectory.some((one) => one.name.endsWith('afterwards'))).toBe(true);
  },
);

test('the error of bfloat16 is within its bound', async () => {
  const report = await runParity(fixture('finetune-vqa'), { engine: { precision: 'bfloat16' } });
  const trajectory = report.comparisons.filter(({ name }) => name.startsWith('loss before'));
  for (const { difference, norm } of trajectory) expect(difference / norm).toBeLessThan(5e-2);
});

test('a reference with other training settings does not pass', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lxmert-finetune-parity-'));
  folders.push(folder);
  await cp(fixture('finetune-vqa'), folder, { recursive: true });
  const path = join(folder, 'trajectory.json');
  const trajectory = JSON.parse(await readFile(path, 'utf8')) as { optimizer: { max_grad_norm: number } };
  trajectory.optimizer.max_grad_norm = 1;
  await writeFile(path, JSON.stringify(trajectory));
  const report = await runParity(folder);
  expect(report.passed).toBe(false);
});
