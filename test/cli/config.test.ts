import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command } from '../../src/cli/config.js';
import { runCli } from '../../src/cli/run.js';
import { configReference, finetuneReference } from '../../src/config/reference.js';
import { finetuneJsonSchema, runJsonSchema } from '../../src/config/jsonSchema.js';
import { loadFinetuneConfig, loadRunConfig } from '../../src/config/loadConfig.js';

let out: string;
let err: string;
let folder: string;
beforeEach(async () => {
  out = err = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
  folder = await mkdtemp(join(tmpdir(), 'config-command-'));
});
afterEach(async () => {
  jest.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

const run = (...args: string[]) => runCli(['config', ...args], { config: async () => ({ command }) });

test('show prints the settings that result from file, preset and flags, as a file with the same result', async () => {
  const file = join(folder, 'run.yaml');
  await writeFile(file, 'preset: tiny\nseed: 3\ntasks: { schedule: { qa: { from: 2, to: 5 } } }\n');
  expect(await run('show', '--config', file, '--lr', '0.5', '--matched-to-epoch', '7')).toBe(0);
  const shown = join(folder, 'shown.yaml');
  await writeFile(shown, out);
  const config = await loadRunConfig({ file: shown });
  expect(config).toEqual(await loadRunConfig({ file, flags: { lr: '0.5', 'matched-to-epoch': '7' } }));
  expect(config).toMatchObject({ seed: 3, optimizer: { lr: 0.5 }, model: { hiddenSize: 96 } });
  expect(config.tasks.schedule).toMatchObject({ matched: { from: 0, to: 7 }, qa: { from: 2, to: 5 } });
  out = '';
  expect(await run('show', '--config', shown, '--json')).toBe(0);
  expect(JSON.parse(out)).toEqual(config);
});

test('show works for fine-tuning, too: a task has the published settings', async () => {
  const file = join(folder, 'run.yaml');
  await writeFile(file, 'seed: 3\nfreeze: wordEmbeddings\n');
  expect(await run('show', 'gqa', '--config', file, '--head-lr', '0.5', '--json')).toBe(0);
  const flags = { task: 'gqa', 'head-lr': '0.5' };
  expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(await loadFinetuneConfig({ file, flags }))));
  expect(JSON.parse(out)).toMatchObject({ seed: 3, optimizer: { lr: 1e-5 }, freeze: ['wordEmbeddings'] });
  for (const [view, expected] of [
    ['schema', JSON.stringify(finetuneJsonSchema(), null, 2)],
    ['reference', finetuneReference()],
  ]) {
    out = '';
    expect(await run(view, 'gqa')).toBe(0);
    expect(out.trim()).toBe(expected.trim());
  }
  for (const [args, message] of [
    [['show', 'gqa', '--word-mask-rate', '0.1'], '--word-mask-rate is a setting of pre-training'],
    [
      ['show', '--head-lr', '0.1'],
      '--head-lr is a setting of fine-tuning: give its task, as in `lxmert config show vqa`',
    ],
  ] as const) {
    err = '';
    expect(await run(...args)).toBe(2);
    expect(err).toContain(message);
  }
});

test('schema and reference', async () => {
  expect(await run('schema')).toBe(0);
  expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(runJsonSchema())));
  out = '';
  expect(await run('reference')).toBe(0);
  expect(out).toBe(configReference());
});

test('a switch is on by its name, off with --no-, and accepts only true and false as values', async () => {
  const shown = async (...flags: string[]): Promise<unknown> => {
    out = '';
    expect(await run('show', '--json', ...flags)).toBe(0);
    return (JSON.parse(out) as { data: { residentFeatures: unknown } }).data.residentFeatures;
  };
  for (const flags of [
    ['--resident-features'],
    ['--resident-features', '--seed', '3'],
    ['--resident-features', 'true'],
  ])
    expect([flags, await shown(...flags)]).toEqual([flags, true]);
  for (const flags of [[], ['--no-resident-features'], ['--resident-features=false']])
    expect([flags, await shown(...flags)]).toEqual([flags, false]);
  for (const [wrong, message] of [
    ['maybe', '--resident-features "maybe": expected true or false'],
    ['1', '--resident-features "1": expected true or false'],
    ['', '--resident-features needs a value'],
  ]) {
    err = '';
    expect(await run('show', `--resident-features=${wrong}`)).toBe(2);
    expect(err).toContain(message);
  }
});

test('wrong usage gives a message', async () => {
  expect(await run('sketch')).toBe(2);
  expect(err).toMatch(/schema/);
  expect(await run('show', '--preset', 'bse')).toBe(2);
  expect(err).toMatch(/Did you mean 'base'/);
  expect(await run('show', '--lr', 'fast')).toBe(2);
  expect(err).toMatch(/--lr "fast": expected a number/);
  expect(out).toBe('');
});
