/** Tests complete runs on the CUDA back end, with the command line. */
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { writeScenes } from '../../src/scenes/index.js';
import { CompiledCopy } from '../train/support/compile.js';
import { metricsOf, newestFiles } from '../train/support/runs.js';
import { emulator, withEmulator } from '../support/emulator.js';

const settings = {
  preset: 'tiny',
  threads: '1',
  'hidden-size': '64',
  'num-attention-heads': '2',
  'intermediate-size': '64',
  'hidden-dropout-prob': '0.1',
  'attention-probs-dropout-prob': '0.1',
  valid: 'train',
  'max-steps': '12',
  'batch-size': '8',
  'save-every': '4',
  'valid-every': '6',
};

let copy: CompiledCopy;
let folder: string;
/** A complete run in float32. */
let whole: Awaited<ReturnType<typeof pretrain>> | undefined;
beforeAll(async () => {
  copy = await CompiledCopy.make();
  folder = await mkdtemp(join(tmpdir(), 'lxmert-cuda-run-'));
  await writeScenes({ out: join(folder, 'scenes'), images: 12, featureDim: 16, pictures: 0 });
  expect(await pretrain('cpu', { device: 'cpu' })).toMatchObject({ code: 0 });
  if (emulator) whole = await pretrain('float32', { device: 'cuda' });
});
afterAll(async () => {
  await copy.remove();
  await rm(folder, { recursive: true, force: true });
});

interface Run {
  readonly device: 'cpu' | 'cuda';
  readonly precision?: 'float32' | 'bfloat16';
  readonly resume?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

async function pretrain(out: string, { device, precision = 'float32', resume = false, env = {} }: Run) {
  const flags = { ...settings, data: join(folder, 'scenes'), out: join(folder, out), device, precision };
  const variables = Object.entries({ LXMERT_CUDA_LIBRARY: emulator ?? '', ...env });
  const run = copy.start(
    'src/cli/main.js',
    [
      'pretrain',
      ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
      ...(resume ? ['--resume'] : []),
    ],
    ['env', ...variables.map(([name, value]) => `${name}=${value}`)],
  );
  return { code: await run.ended, errors: run.errors };
}

const lossesOf = async (out: string): Promise<number[]> =>
  (await metricsOf(join(folder, out))).filter(({ split }) => split === undefined).map(({ loss }) => loss as number);

/** The largest difference, relative to the larger of the two numbers. */
const apart = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]) / Math.max(Math.abs(value), Math.abs(b[i]))));

withEmulator(describe)('a run on CUDA', () => {
  test.each([
    ['float32', 1e-4],
    ['bfloat16', 3e-2],
  ] as const)('in %s has the losses of one on the CPU', async (precision, bound) => {
    const ended = precision === 'float32' ? whole : await pretrain(precision, { device: 'cuda', precision });
    expect(ended).toMatchObject({ code: 0, errors: expect.stringContaining('device cuda: emulated') });
    expect(ended!.errors).not.toContain('op by op');
    expect(/tensor cores .* idle/.test(ended!.errors)).toBe(precision === 'float32');
    const [expected, got] = [await lossesOf('cpu'), await lossesOf(precision)];
    expect(got).toHaveLength(12);
    expect(apart(got, expected)).toBeLessThan(bound);
  });

  test('ends with exit code 1 and a message if the device fails, keeps its last checkpoint and can be resumed', async () => {
    // The device fails somewhere between the checkpoint of step 4 and the end.
    const broken = await pretrain('broken', { device: 'cuda', env: { LXMERT_EMULATOR_BREAKS_AT: '3000' } });
    expect(broken.code).toBe(1);
    expect(broken.errors).toMatch(/broken by LXMERT_EMULATOR_BREAKS_AT.*This process cannot use the GPU any more/s);
    const saved = await readlink(join(folder, 'broken/checkpoints/last'));
    // Checkpoints are due after steps 4 and 8. There is also one of step 6, because the validation after this step
    // fails.
    expect(['step-00000004', 'step-00000006', 'step-00000008']).toContain(saved);
    expect(await pretrain('broken', { device: 'cuda', resume: true })).toMatchObject({ code: 0 });
    expect(await metricsOf(join(folder, 'broken'))).toEqual(await metricsOf(join(folder, 'float32')));
    expect(await newestFiles(join(folder, 'broken'))).toEqual(await newestFiles(join(folder, 'float32')));
  });
});
