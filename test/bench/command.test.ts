import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { runCli } from '../../src/cli/run.js';

const table = { bench: () => import('../../src/cli/bench.js') };

let out: string;
let err: string;
const spies: { mockRestore(): void }[] = [];
beforeEach(() => {
  out = err = '';
  spies.push(
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true)),
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true)),
    jest.spyOn(console, 'log').mockImplementation((text) => void (out += `${text}\n`)),
    jest.spyOn(console, 'error').mockImplementation((text) => void (err += `${text}\n`)),
  );
});
afterEach(() => spies.splice(0).forEach((spy) => spy.mockRestore()));

const run = (line: string) => runCli(line.split(' ').filter(Boolean), table);

test.each([
  ['bench', 'bench needs a command: step'],
  ['bench everything', 'unknown argument "everything"'],
  ['bench step more', 'unknown argument "more"'],
  ['bench step --preset huge', 'preset'],
  ['bench step --batch 0', '--batch must be a whole number'],
  ['bench step --batch 1,2', '--batch must be a whole number'],
  ['bench step --steps 0', '--steps'],
  ['bench step --tokens 8', '--tokens must be a range MIN-MAX'],
  ['bench step --tokens 16-8', '--tokens'],
  ['bench step --tokens 8-16-20', '--tokens'],
  ['bench step --tokens 1-2', '1 to 2 tokens'],
  ['bench step --tokens 8-4000', '8 to 4000 tokens'],
  ['bench step --objects 513', '--objects'],
  ['bench step --layers 9,5', '--layers'],
  ['bench step --layers 9,5,0', '--layers'],
  ['bench step --layers a,b,c', '--layers'],
  ['bench step --threads -1', '--threads'],
  ['bench step --peer-python', 'peer-python'],
  ['bench step --peer-python /no/such/python --preset tiny', '--peer-python /no/such/python'],
  ['bench kernels --batch 8,', '--batch must be a list'],
  ['bench kernels --batch 0', '--batch'],
  ['bench kernels --threads x', '--threads'],
  ['bench kernels --ops linear', 'no op "linear"'],
  ['bench kernels --stpes 3', 'unknown argument "stpes"'],
  ['bench answers --batch 1.5', '--batch'],
])('2 for `lxmert %s`', async (line, message) => {
  expect(await run(line)).toBe(2);
  expect(err).toContain(message);
  expect(out).toBe('');
});

test('one JSON object on stdout, progress on stderr', async () => {
  const size = '--preset tiny --layers 1,1,1 --tokens 4-6 --objects 3 --batch 2 --threads 1';
  expect(await run(`bench step ${size} --steps 1 --warmup 1 --json`)).toBe(0);
  expect(out.trimEnd().split('\n')).toHaveLength(1);
  const report = JSON.parse(out);
  expect(Object.keys(report)).toEqual(
    expect.arrayContaining(['samplesPerSecond', 'gflops', 'sgemmShare', 'peakMemoryBytes', 'stepMilliseconds', 'ops']),
  );
  expect(err).toContain('step 1 of 1');
});
