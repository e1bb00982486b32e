import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { defineCommand, integerOption, jsonOption, numberOption, printJson } from '../../src/cli/command.js';
import { runCli } from '../../src/cli/run.js';
import { LxmertError } from '../../src/errors.js';

const grow = defineCommand({
  command: 'grow <plant>',
  describe: 'Grow a plant',
  builder: (yargs) =>
    yargs
      .positional('plant', { type: 'string', demandOption: true })
      .option('out-dir', { type: 'string', describe: 'folder' })
      .option('days', integerOption('days', { min: 1, max: 90, default: 7, describe: 'how long' }))
      .option('rate', numberOption('rate', { min: 0, describe: 'how fast' }))
      .option('soil', { choices: ['sand', 'loam'] as const })
      .option('json', jsonOption),
  handler: ({ plant, days, rate, json, outDir }) => {
    if (plant === 'weed') throw new LxmertError('BAD_DATA', 'weeds.tsv, line 3: no roots');
    if (plant === 'bug') throw new TypeError('leaf is undefined');
    if (json) printJson({ plant, days, rate, outDir });
  },
});
const tend = defineCommand({
  command: 'tend',
  describe: 'Tend the plants',
  builder: (yargs) =>
    yargs
      .command(
        defineCommand({
          command: 'water',
          describe: 'Water them',
          builder: (inner) => inner.option('days', { type: 'string', demandOption: true }),
          handler: () => undefined,
        }),
      )
      .demandCommand(1, 'tend what?'),
  handler: () => undefined,
});
const table = {
  grow: () => Promise.resolve({ command: grow }),
  harvest: () => Promise.resolve({ command: { ...grow, command: 'harvest <plant>' } }),
  tend: () => Promise.resolve({ command: tend }),
};

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

describe('exit codes', () => {
  test('0 after success, with the result on stdout', async () => {
    expect(await run('grow fern --days 9 --json --out-dir x')).toBe(0);
    expect(JSON.parse(out)).toEqual({ plant: 'fern', days: 9, outDir: 'x' });
    expect(err).toBe('');
  });

  test('1 after a failure, with only the message on stderr', async () => {
    expect(await run('grow weed')).toBe(1);
    expect(err).toBe('lxmert: weeds.tsv, line 3: no roots\n');
    expect(out).toBe('');
  });

  test('1 with a hint after an unexpected error', async () => {
    expect(await run('grow bug')).toBe(1);
    expect(err).toMatch(/^lxmert: leaf is undefined\n.*--trace/);
    expect(err).not.toContain('cli.test.ts');
  });

  test('--trace adds the stack', async () => {
    expect(await run('grow weed --trace')).toBe(1);
    expect(err).toMatch(/^lxmert: weeds.tsv, line 3: no roots\n/);
    expect(err).toContain('cli.test.ts');
  });

  test.each([
    ['', 'which command? grow, harvest, tend'],
    ['--json', 'which command?'],
    ['-- grow fern', 'which command?'],
    ['grwo fern', 'there is no command "grwo"; did you mean grow?'],
    ['grwo fern --dyas 3', 'there is no command "grwo"; did you mean grow?\n`lxmert --help`'],
    ['zzzzzz', 'there is no command "zzzzzz": the commands are grow, harvest, tend'],
    ['grow', 'an argument is missing: lxmert grow <plant>'],
    ['grow fern moss', 'unknown argument "moss"'],
    ['grow fern --dyas 3', 'unknown argument "dyas"; did you mean --days?'],
    ['grow fern --out-dri x', 'unknown argument "out-dri"; did you mean --out-dir?'],
    ['grow fern --quack', 'unknown argument "quack"'],
    ['grow fern --days', '--days needs a value'],
    ['grow fern --days=', '--days needs a value'],
    ['grow fern --no-days', '--no-days: --days needs a value and cannot be switched off'],
    ['grow fern --days two', '--days must be a whole number, not "two"'],
    ['grow fern --days 1e999', '--days must be a whole number, not "1e999"'],
    ['grow fern --days 1.5', '--days must be a whole number, not 1.5'],
    ['grow fern --days 0', '--days must be a whole number of at least 1 and at most 90, not 0'],
    ['grow fern --days 1e9', 'at most 90, not 1000000000'],
    ['grow fern --rate -2', '--rate must be a number of at least 0, not -2'],
    ['grow fern --rate Infinity', '--rate must be a number, not "Infinity"'],
    ['grow fern --rate 0x', '--rate must be a number, not "0x"'],
    ['grow fern --json=maybe', '--json is a switch: give it alone, or as --json=true or --json=false; not "maybe"'],
    ['grow fern --trace=1', '--trace is a switch'],
    ['grow fern --soil clay', 'soil must be one of "sand", "loam", not "clay"'],
    ['tend', 'tend what?'],
    ['tend wter', 'unknown argument "wter"; did you mean water?'],
    ['tend water', '--days is missing'],
    ['grow fern --out-dir --json', '--out-dir needs a value'],
    ['grow fern --out-dir=', '--out-dir needs a value'],
  ])('2 for `lxmert %s`', async (line, message) => {
    expect(await run(line)).toBe(2);
    expect(err).toContain(`lxmert: `);
    expect(err).toContain(message);
    expect(err).not.toContain(' at '.concat('file'));
    expect(out).toBe('');
  });
});

describe('help', () => {
  test('lists the commands on stdout', async () => {
    expect(await run('--help')).toBe(0);
    expect(out).toContain('lxmert grow <plant>');
    expect(out).toContain('lxmert harvest <plant>');
    expect(err).toBe('');
  });

  test('of a command lists its options and runs nothing', async () => {
    expect(await run('grow weed --help')).toBe(0);
    expect(out).toContain('--out-dir');
    expect(out).toContain('[default: 7]');
    expect(out).not.toContain('harvest');
    expect(err).toBe('');
  });

  test('--version prints the version and loads no command', async () => {
    expect(await runCli(['--version'], { grow: () => Promise.reject(new Error('must not load')) })).toBe(0);
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

test('the error for an empty positional argument names the argument', async () => {
  expect(await runCli(['grow', ''], table)).toBe(2);
  expect(err).toContain('<plant> needs a value');
});

test.each([
  ['--json=false', ''],
  ['--json=true', '"days":7'],
  ['--days 3 --days 4 --json', '"days":4'],
])('of an option given several times, the last value counts: `%s`', async (flags, shown) => {
  expect(await run(`grow fern ${flags}`)).toBe(0);
  expect(out).toContain(shown);
});

test('running a command loads no other command', async () => {
  const broken = { ...table, harvest: () => Promise.reject(new Error('must not load')) };
  expect(await runCli(['grow', 'fern'], broken)).toBe(0);
  expect(err).toBe('');
});
