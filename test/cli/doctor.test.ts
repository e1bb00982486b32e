import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { command } from '../../src/cli/doctor.js';
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

const run = (line: string) => runCli(['doctor', ...line.split(' ')], { doctor: async () => ({ command }) });

test.each([
  ['--threads many', /--threads "many": expected a number/],
  ['--threads 1025', /--threads: expected at most 1024; got 1025/],
  ['--device gpu', /--device: there is no 'gpu'/],
  ['--lr -1', /--lr: expected more than 0; got -1/],
])('a wrong flag is an error, also if no run is planned: %s', async (line, message) => {
  expect(await run(line)).toBe(2);
  expect(err).toMatch(message);
  expect(out).toBe('');
});

test('the number of threads is that of the flag', async () => {
  expect(await run('--threads 1 --device cpu --json')).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ engine: { device: 'cpu', threads: 1 } });
});
