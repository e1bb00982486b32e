/** Values that users may spell in another way than the program. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { command as bench } from '../../src/cli/bench.js';
import { command as config } from '../../src/cli/config.js';
import { command as doctor } from '../../src/cli/doctor.js';
import { command as parity } from '../../src/cli/parity.js';
import { command as pretrain } from '../../src/cli/pretrain.js';
import { command as report } from '../../src/cli/report.js';
import { runCli } from '../../src/cli/run.js';

let out: string;
let err: string;
beforeEach(() => {
  out = err = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
});
afterEach(() => {
  jest.restoreAllMocks();
});

const commands = { bench, config, doctor, parity, pretrain, report };
const table = Object.fromEntries(Object.entries(commands).map(([name, command]) => [name, async () => ({ command })]));
const run = (line: string) => runCli(line.split(' '), table);

test.each(['pretrain --data x --out y', 'doctor', 'config show', 'report x', 'parity x', 'bench step'])(
  '%s --device gpu: the message names cuda',
  async (line) => {
    for (const device of ['gpu', 'GPU', 'cuda:0', 'nvidia']) {
      err = '';
      expect(await run(`${line} --device ${device}`)).toBe(2);
      expect(err).toMatch(/[Dd]id you mean '?cuda'?\?/);
    }
  },
);

test('--threads 0 means all cores in the description of a run, as in every other command', async () => {
  expect(await run('config show --threads 0 --json')).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ threads: 0 });
  out = '';
  expect(await run('doctor --threads 0 --device cpu --json')).toBe(0);
  expect((JSON.parse(out) as { engine: { threads: number } }).engine.threads).toBeGreaterThan(0);
});
