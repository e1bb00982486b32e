/** Whole runs of several ranks on the CUDA back end, on the emulated device. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { emulator, withEmulator } from '../support/emulator.js';
import { contentsOf, RankRuns, told } from './support.js';

let runs: RankRuns;
beforeAll(async () => {
  runs = await RankRuns.make(emulator ?? '');
});
afterAll(() => runs.remove());

/** Several micro-batches a part, parts of different sizes, and a checkpoint on the way: 10 samples in 4 parts. */
const parts = ['--gradient-parts', '4', '--max-steps', '5', '--save-every', '3', '--keep', '9'];

async function whole(
  flags: readonly string[],
  ranks: number,
  env: NodeJS.ProcessEnv = {},
): Promise<Readonly<Record<string, string>>> {
  const out = runs.fresh();
  const run = runs.start([...runs.flags(out, ...flags), '--ranks', `${ranks}`], env);
  const code = await run.ended;
  if (code !== 0) throw new Error(`exit code ${code}: ${run.errors}`);
  expect(run.errors).not.toMatch(/op by op/);
  return contentsOf(out);
}

withEmulator(describe)('ranks on CUDA', () => {
  describe('with --gradient-parts 4', () => {
    let alone: Readonly<Record<string, string>>;
    beforeAll(async () => {
      alone = await whole(parts, 1);
    });

    test.each([
      { ranks: 2, more: ['--shard-optimizer'], env: {} },
      {
        ranks: 4,
        more: ['--bucket-size', '0.3', '--shard-optimizer'],
        env: { LXMERT_EMULATOR_DELAYS: '3', LXMERT_EMULATOR_SEED: '7' },
      },
    ])(
      '$ranks ranks leave the checkpoints and metrics of one, bit for bit ($more $env)',
      async ({ ranks, more, env }) => {
        const trace = join(runs.folder, `trace-${ranks}`);
        expect(await whole([...parts, ...more], ranks, { ...env, LXMERT_EMULATOR_TRACE: trace })).toEqual(alone);
        const done = await readFile(trace, 'utf8');
        expect(done).toMatch(/^graph$/m);
        expect(done).toMatch(/^NCCL$/m);
      },
    );

    test('a run that was stopped on two ranks goes on alone, to the same bits', async () => {
      const out = runs.fresh();
      const [first, second] = await runs.startEach(2, runs.flags(out, ...parts));
      await told(first, /step 1\//);
      second.kill('SIGTERM');
      expect(await Promise.all([first.ended, second.ended])).toEqual([143, 143]);
      const run = runs.start(['pretrain', '--out', out, '--resume', '--ranks', '1']);
      expect(await run.ended).toBe(0);
      const { metrics, ...files } = await contentsOf(out);
      const last = '/checkpoints/step-00000005/model.safetensors';
      expect({ metrics, last: files[last] }).toEqual({ metrics: alone['metrics'], last: alone[last] });
    });
  });

  test('without parts, two ranks give the same bits twice, also in bfloat16 with a sharded optimizer', async () => {
    const flags = ['--max-steps', '6', '--save-every', '6', '--precision', 'bfloat16'];
    const both = await whole(flags, 2);
    const delays = { LXMERT_EMULATOR_DELAYS: '3', LXMERT_EMULATOR_SEED: '5' };
    expect(await whole([...flags, '--shard-optimizer'], 2, delays)).toEqual(both);
  });

  test('a rank is killed: the others end with one message', async () => {
    const out = runs.fresh();
    const all = await runs.startEach(3, runs.flags(out, '--save-every', '2', '--rank-timeout', '60'));
    await told(all[0], /saved .*step-/);
    all[1].kill('SIGKILL');
    expect(await Promise.all([all[0].ended, all[2].ended])).toEqual([1, 1]);
    const told3 = all.flatMap(({ errors }) => errors.split('\n').filter((line) => line.startsWith('lxmert:')));
    expect(told3).toEqual([expect.stringMatching(/^lxmert: rank 1 \(.+\) is gone: its process ended/)]);
  });

  test('a loss that is not finite stops all ranks before the update', async () => {
    const out = runs.fresh();
    const all = await runs.startEach(2, runs.flags(out, '--initializer-range', '1e30', '--max-steps', '3'));
    expect(await Promise.all(all.map(({ ended }) => ended))).toEqual([1, 1]);
    expect(all[0].errors).toMatch(/lxmert: step 1: .* is not.* \(rank \d \(.+\)\)/);
  });

  test('bench step measures ranks', async () => {
    const args = ['bench', 'step', '--preset', 'tiny', '--layers', '1,1,1', '--batch', '4', '--alone-batch', '2'];
    const run = runs.start([...args, '--steps', '1', '--warmup', '1', '--device', 'cuda', '--ranks', '2', '--json']);
    expect({ code: await run.ended, errors: run.errors }).toMatchObject({ code: 0 });
    const report = JSON.parse(run.lines.join('')) as { communication: Record<string, number> };
    expect(report).toMatchObject({ device: 'cuda', ranks: 2, batch: 4, aloneBatch: 2, communication: {} });
    expect(report.communication['sentBytes']).toBeGreaterThan(0);
    expect(report.communication['milliseconds']).toBeGreaterThan(0);
  });
});

withEmulator(test)('the shared memory of the emulated NCCL is removed', () => {
  const { stdout } = spawnSync('ls', ['/dev/shm'], { encoding: 'utf8' });
  const left = stdout.split('\n').filter((name) => name.startsWith(`lxmert-nccl-`));
  expect(left.filter((name) => spawnSync('kill', ['-0', name.split('-')[2]]).status !== 0)).toEqual([]);
});
