import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = 'dist/cli/main.js';

const shell = (line: string) => spawnSync('bash', ['-c', line], { cwd: root, encoding: 'utf8' });

test('runs with npx in the clone', () => {
  const { status, stdout } = shell('npx --no lxmert --version');
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(status).toBe(0);
});

test.each([
  ['--help', 0, /lxmert scenes/, /^$/],
  ['scenes --help', 0, /--out/, /^$/],
  ['', 2, /^$/, /^lxmert: which command\?/],
  ['scenes --no-such', 2, /^$/, /^lxmert: /],
  ['secnes', 2, /^$/, /did you mean scenes\?/],
])('lxmert %s exits with %i', (args, code, out, err) => {
  const { status, stdout, stderr } = shell(`node ${program} ${args}`);
  expect(stderr).toMatch(err);
  expect(stdout).toMatch(out);
  expect(status).toBe(code);
});

test('a reader that closes the pipe early causes no error', () => {
  const { stdout, stderr } = shell(`node ${program} --help | true; echo \${PIPESTATUS[0]}`);
  expect(stderr).toBe('');
  expect(stdout).toBe('0\n');
});

test('if a result cannot be written, the program says so and fails', () => {
  const { status, stderr } = shell(`node ${program} config reference > /dev/full`);
  expect(stderr).toBe('lxmert: cannot write the result to stdout: the disk is full; free some space (ENOSPC)\n');
  expect(status).toBe(1);
});

test('if a message cannot be written, the exit code does not change', () => {
  expect(shell(`node ${program} scnes 2> /dev/full`).status).toBe(2);
});
