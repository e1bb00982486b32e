/** Tests complete runs on one rank and on several ranks. Each rank is a separate process. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { contentsOf, lossesOf, RankRuns, told } from './support.js';

let runs: RankRuns;
beforeAll(async () => {
  runs = await RankRuns.make();
});
afterAll(() => runs.remove());

const hasMpi =
  !spawnSync('mpirun', ['--version']).error && !spawnSync('mpicxx', ['--version']).error
    ? test
    : (test.skip as typeof test);

/**
 * The run has validations, saves, several micro-batches in a part, and parts of different sizes: 10 samples in 4 parts.
 */
const parts = ['--gradient-parts', '4', '--max-steps', '7', '--save-every', '4', '--valid-every', '3', '--keep', '9'];

async function whole(ranks: number, ...more: readonly string[]): Promise<string> {
  const out = runs.fresh();
  const run = runs.start([...runs.flags(out, ...parts), '--ranks', `${ranks}`, ...more]);
  const code = await run.ended;
  if (code !== 0) throw new Error(`exit code ${code}: ${run.errors}`);
  return out;
}

describe('--gradient-parts 4', () => {
  let alone: Readonly<Record<string, string>>;
  beforeAll(async () => {
    alone = await contentsOf(await whole(1));
  });

  test.each([3, 4])('%i ranks leave the same checkpoints and metrics as one, bit for bit', async (ranks) => {
    expect(await contentsOf(await whole(ranks))).toEqual(alone);
  });

  test('a run that was stopped on two ranks with a sharded optimizer goes on alone and on four, to the same bits', async () => {
    const out = runs.fresh();
    const flags = runs.flags(out, ...parts);
    // A signal may reach any rank.
    const [first, second] = await runs.startEach(2, [...flags, '--shard-optimizer']);
    await told(first, /step 1\//);
    second.kill('SIGTERM');
    const codes = await Promise.all([first.ended, second.ended]);
    expect({ codes, first: first.errors, second: second.errors }).toMatchObject({ codes: [143, 143] });
    expect(first.errors).toMatch(/SIGTERM to rank 1 \(.*\): stops after this step and saves/);
    expect(second.errors).toBe('');
    for (const ranks of [1, 4]) {
      const run = runs.start(['pretrain', '--out', out, '--resume', '--ranks', `${ranks}`, '--shard-optimizer']);
      if (ranks === 1) {
        await told(run, /step [1-9]\/|saved |is finished/);
        run.kill('SIGTERM');
      }
      expect([0, 143]).toContain(await run.ended);
    }
    const { metrics, '/checkpoints/best/model.safetensors': _, ...resumed } = await contentsOf(out);
    expect(metrics).toBe(alone['metrics']);
    const last = Object.entries(resumed).filter(([path]) => path.includes('step-00000007/'));
    expect(Object.fromEntries(last)).toEqual(
      Object.fromEntries(Object.entries(alone).filter(([path]) => path.includes('step-00000007/'))),
    );
  });

  hasMpi('ranks that speak MPI and shard the optimizer leave the same bits (left out without Open MPI)', async () => {
    const library = join(runs.copy.folder, 'build', 'Release', 'lxmert_mpi.so');
    expect({ library, isThere: !spawnSync('test', ['-e', library]).status }).toEqual({ library, isThere: true });
    expect(await contentsOf(await whole(2, '--transport', 'mpi', '--shard-optimizer'))).toEqual(alone);
  });
});

test('without parts, two ranks agree with one within the rounding of float32 sums, and with two ranks again exactly', async () => {
  const losses: number[][] = [];
  for (const ranks of [1, 2, 2]) {
    const out = runs.fresh();
    const run = runs.start([
      ...runs.flags(out, '--max-steps', '20', '--micro-batch-size', '10'),
      '--ranks',
      `${ranks}`,
    ]);
    expect({ code: await run.ended, errors: ranks === 2 ? '' : run.errors }).toMatchObject({ code: 0 });
    losses.push(await lossesOf(out));
  }
  const [alone, two, again] = losses;
  expect(two).toEqual(again);
  // docs/ranks.md states this bound.
  two.forEach((loss, i) => expect(Math.abs(loss - alone[i]) / alone[i]).toBeLessThan(1e-4));
});
