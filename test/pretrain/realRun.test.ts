import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importFeatures } from '../../src/imports/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { roundToHalf } from '../engine/support/half.js';
import { CompiledCopy } from '../train/support/compile.js';
import type { CutShort } from '../train/support/cutShort.js';
import type { RunningProcess } from '../train/support/compile.js';
import { filesOf, metricsOf, newestFiles } from '../train/support/runs.js';

/** Runs the command on scenes with the real engine and dropout; the model is so small that a run takes a few seconds. */
const size = {
  'hidden-size': '32',
  'num-attention-heads': '2',
  'intermediate-size': '32',
  'hidden-dropout-prob': '0.1',
  'attention-probs-dropout-prob': '0.1',
};
// Validates on the 12 training scenes, because the validation split has a hundred.
const steps = 24;
const length = {
  valid: 'train',
  'max-steps': `${steps}`,
  'batch-size': '8',
  'micro-batch-size': '4',
  'save-every': '4',
  'valid-every': '6',
};

let copy: CompiledCopy;
let folder: string;
let data: string;
beforeAll(async () => {
  copy = await CompiledCopy.make();
  folder = await mkdtemp(join(tmpdir(), 'real-run-'));
  data = join(folder, 'scenes');
  await writeScenes({ out: data, images: 12, featureDim: 16, pictures: 0 });
});
afterAll(async () => {
  await copy.remove();
  await rm(folder, { recursive: true, force: true });
});

function commandOf(out: string, more: readonly string[]): string[] {
  const flags = Object.entries({ data, out, preset: 'tiny', threads: '1', ...size, ...length });
  return ['pretrain', ...flags.flatMap(([flag, value]) => [`--${flag}`, value]), ...more];
}

function pretrain(out: string, ...more: string[]): RunningProcess {
  return copy.start('src/cli/main.js', commandOf(out, more));
}

/** Starts a run that gets signals when it prints a given text. */
function cutShort(out: string, how: CutShort, ...more: string[]): RunningProcess {
  return copy.start('test/train/support/cutShort.js', [JSON.stringify(how), ...commandOf(out, more)]);
}

test('a run that is killed and resumed gives the same bits as a run that was not', async () => {
  const straight = join(folder, 'straight');
  const first = pretrain(straight, '--json');
  expect(await first.ended).toBe(0);
  expect(first.lines).toHaveLength(1);
  const summary = JSON.parse(first.lines[0]) as Record<string, unknown>;
  expect(summary).toMatchObject({ step: steps, totalSteps: steps, finished: true });
  expect(summary.checkpoint).toBe(join(straight, 'checkpoints', `step-000000${steps}`));
  expect(first.errors).toContain('validation after step 6: loss');

  const killed = join(folder, 'killed');
  // The random delay kills the run at any time in the work that follows: the next step, a validation, a save.
  for (const at of [' parameters', 'step-00000004', 'validation after step 6:', 'step-00000012']) {
    const run = cutShort(killed, { signals: ['SIGKILL'], at, after: 10 * Math.random() }, '--resume');
    expect(await run.ended).toBe('SIGKILL');
  }
  const interrupted = cutShort(killed, { signals: ['SIGINT'], at: 'step-00000016' }, '--resume');
  expect(await interrupted.ended).toBe(130);
  const last = pretrain(killed, '--resume');
  expect(await last.ended).toBe(0);
  expect(await metricsOf(killed)).toEqual(await metricsOf(straight));
  expect(await newestFiles(killed)).toEqual(await newestFiles(straight));
  expect(await filesOf(killed)).toEqual(['checkpoints', 'config.json', 'metrics.jsonl']);

  const again = pretrain(killed, '--resume');
  expect(await again.ended).toBe(0);
  expect(again.errors).toContain(`is finished: all ${steps} steps are done`);
});

/** Rounds the features of a TSV to float16. */
async function roundFeatures(path: string): Promise<void> {
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  const rounded = lines.map((line) => {
    const fields = line.split('\t');
    const features = new Float32Array(new Uint8Array(Buffer.from(fields[9], 'base64')).buffer).map(roundToHalf);
    return [...fields.slice(0, 9), Buffer.from(features.buffer).toString('base64')].join('\t');
  });
  await writeFile(path, `${rounded.join('\n')}\n`);
}

test('features on the device give the same results if they are exact in float16, also after a kill', async () => {
  const halves = join(folder, 'halves');
  await writeScenes({ out: halves, images: 12, featureDim: 16, pictures: 0 });
  for (const split of ['train', 'valid']) await roundFeatures(join(halves, `${split}.tsv`));
  const [plain, resident] = [join(folder, 'plain'), join(folder, 'resident')];
  const flags = ['--data', halves, '--valid', 'valid'];
  expect(await pretrain(plain, ...flags).ended).toBe(0);
  const kill: CutShort = { signals: ['SIGKILL'], at: 'validation after step 6:' };
  expect(await cutShort(resident, kill, ...flags, '--resident-features').ended).toBe('SIGKILL');
  const other = pretrain(resident, ...flags, '--resume', '--no-resident-features');
  expect(await other.ended).toBe(2);
  expect(other.errors).toContain('data.residentFeatures (--resident-features): was true, is false');
  const run = pretrain(resident, ...flags, '--resume');
  expect(await run.ended).toBe(0);
  expect(run.errors).toMatch(/features of \d+ objects are on the device: .* of float16, loaded in .* s/);
  expect(await metricsOf(resident)).toEqual(await metricsOf(plain));
  expect(await newestFiles(resident)).toEqual(await newestFiles(plain));
});

test('a run on a float32 store comes out bit by bit like one on the TSV', async () => {
  const stored = join(folder, 'stored');
  await cp(data, stored, { recursive: true });
  const description = await readFile(join(stored, 'data.yaml'), 'utf8');
  await importFeatures([join(data, 'train.tsv')], join(stored, 'train.store'), {
    ...{ dtype: 'float32', workers: 0 },
    objectLabels: Number(/objectLabels: (\d+)/.exec(description)?.[1]),
    attributeLabels: Number(/attributeLabels: (\d+)/.exec(description)?.[1]),
  });
  await writeFile(join(stored, 'data.yaml'), description.replaceAll('train.tsv', 'train.store'));
  await rm(join(stored, 'train.tsv'));
  const [ofTsv, ofStore] = [join(folder, 'of-tsv'), join(folder, 'of-store')];
  const short = ['--max-steps', '8', '--workers'];
  expect(await pretrain(ofTsv, ...short, '0').ended).toBe(0);
  const second = pretrain(ofStore, ...short, '1', '--data', stored);
  expect(await second.ended).toBe(0);
  expect(await metricsOf(ofStore)).toEqual(await metricsOf(ofTsv));
  expect(await newestFiles(ofStore)).toEqual(await newestFiles(ofTsv));
});

test('SIGTERM, told twice at once, saves and ends with 143; what is wrong ends with 1 or 2 and says so', async () => {
  const out = join(folder, 'term');
  // The second signal is a copy that a parent process forwards after the whole group got the first: it counts as the same signal.
  const run = cutShort(out, { signals: ['SIGTERM', 'SIGTERM'], at: 'step-00000004' });
  expect(await run.ended).toBe(143);
  expect(run.errors).toContain('SIGTERM: stops after this step and saves');
  const last = Math.max(...(await metricsOf(out)).map(({ step }) => step as number));
  expect(await readdir(join(out, 'checkpoints'))).toContain(`step-${String(last).padStart(8, '0')}`);

  const wrong = async (code: number, message: RegExp, ...more: string[]) => {
    const bad = pretrain(out, ...more);
    expect(await bad.ended).toBe(code);
    expect(bad.errors).toMatch(message);
    expect(bad.lines).toEqual([]);
  };
  await wrong(1, /^lxmert: .*already contains a run, saved at step/);
  await wrong(2, /^lxmert: --lr "much": expected a number/, '--lr', 'much');
  await wrong(2, /unknown argument "learning-rat/, '--learning-rate', '1');
  await wrong(2, /was 9595, is 7/, '--resume', '--seed', '7');
  await wrong(2, /there is no split 'minival'.*train, valid/, '--out', join(folder, 'other'), '--valid', 'minival');
  await wrong(1, /nowhere/, '--out', join(folder, 'other'), '--data', join(folder, 'nowhere'));
  await wrong(1, /gone\.yaml/, '--config', join(folder, 'gone.yaml'));
});
