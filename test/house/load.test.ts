import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { explainLinker } from '../../src/engine/linkerMessages.js';
import { addonFile, buildCudaHint, loadAddon, type LoadOptions } from '../../src/engine/load.js';
import { isLxmertError } from '../../src/errors.js';

const built = fileURLToPath(new URL('../../build/Release/lxmert.node', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-load-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The message of the error that loading throws. */
function messageOf(options: LoadOptions): string {
  try {
    loadAddon(options);
  } catch (error) {
    if (isLxmertError(error) && error.code === 'ADDON') return error.message;
    throw error;
  }
  throw new Error('the addon loaded');
}

/** Makes a folder with an addon and the record that setup writes about it. */
function addonWith(name: string, record: object, contents?: string): string {
  mkdirSync(join(folder, name));
  const path = join(folder, name, 'lxmert.node');
  if (contents === undefined) copyFileSync(built, path);
  else writeFileSync(path, contents);
  writeFileSync(join(folder, name, 'lxmert-build.json'), JSON.stringify(record));
  return path;
}

const machine = { platform: 'linux', arch: 'x64', cpuFlags: new Set(['fma', 'avx2']) };
const record = { platform: 'linux', arch: 'x64', march: 'native', cpuFlags: ['fma', 'avx2'] };

test('the addon that setup built is loaded, and only once', () => {
  const addon = loadAddon();
  expect(addon).toBe(loadAddon());
  expect(Object.keys(addon).length).toBeGreaterThan(0);
});

test('a missing file', () => {
  const path = join(folder, 'none.node');
  expect(messageOf({ path })).toBe(
    `the native addon does not load:\n  1. Looked for ${path}: there is no such file.\n  2. Build it: npm run setup`,
  );
});

test('LXMERT_ADDON chooses another file, and the error for a bad file names the variable', () => {
  const before = process.env['LXMERT_ADDON'];
  try {
    process.env['LXMERT_ADDON'] = addonWith('other', record);
    expect(Object.keys(loadAddon({ machine }))).toEqual(Object.keys(loadAddon({ path: built })));
    process.env['LXMERT_ADDON'] = join(folder, 'none.node');
    expect(messageOf({})).toMatch(
      /none\.node \(named by LXMERT_ADDON\): there is no such file\.\n {2}2\. Correct or unset/,
    );
    process.env['LXMERT_ADDON'] = folder;
    expect(messageOf({})).toContain('that is not a file');
    process.env['LXMERT_ADDON'] = '';
    expect(addonFile()).toEqual({ file: built, named: false });
  } finally {
    if (before === undefined) delete process.env['LXMERT_ADDON'];
    else process.env['LXMERT_ADDON'] = before;
  }
});

test('an addon for another CPU is refused before it is loaded', () => {
  // If the file were loaded, its contents would cause another message.
  const path = addonWith('cpu', { ...record, cpuFlags: ['fma', 'avx512f', 'avx512bw'] }, 'not an addon');
  const message = messageOf({ path, machine });
  expect(message).toContain('it may use avx512f, avx512bw, which this CPU does not have');
  expect(message).toMatch(/\n {2}3\. Build it for this one: npm run setup\n {2}4\. .*LXMERT_MARCH=/);
});

test('if the system does not list its CPU features, the addon is loaded without a check', () => {
  const path = addonWith('untold', { ...record, cpuFlags: ['a-feature-of-no-cpu'] });
  expect(loadAddon({ path, machine: { ...machine, cpuFlags: undefined } })).toBeDefined();
});

test.each([{ arch: 'arm64' }, { platform: 'darwin' }])('an addon for another system: %j', (other) => {
  const path = addonWith(JSON.stringify(other).replaceAll(/\W/g, ''), { ...record, ...other }, 'not an addon');
  expect(messageOf({ path, machine })).toMatch(/It was built for .*; this is linux on x64/);
});

test.each([
  ['text', 'this is no library'],
  ['empty', ''],
  ['cut', '\x7fELF'],
])('a damaged file: %s', (name, contents) => {
  expect(messageOf({ path: addonWith(name, record, contents), machine })).toContain('It is damaged');
});

test('a damaged record does not prevent loading a good addon', () => {
  expect(loadAddon({ path: addonWith('norecord', []), machine })).toBeDefined();
});

test('the message says how to build the CUDA back end, with a command that exists: in a clone, in a dependency and in a bundle', () => {
  expect(buildCudaHint()).toBe('`npm run build:cuda` builds it where there is nvcc');
  const dependency = join(folder, 'node_modules', 'lxmert');
  mkdirSync(join(dependency, 'scripts'), { recursive: true });
  const script = join(dependency, 'scripts', 'build-cuda.mjs');
  writeFileSync(script, '');
  expect(buildCudaHint(dependency)).toBe(`\`node ${script}\` builds it where there is nvcc`);
  expect(buildCudaHint(join(folder, 'bundle'))).toMatch(/made without it: in a clone .*`npm run bundle`$/);
});

describe('messages of the dynamic linker', () => {
  test.each([
    ['libdnnl.so.2: cannot open shared object file: No such file or directory', /oneDNN \(libdnnl\.so\.2\)/],
    ['libgomp.so.1: cannot open shared object file: No such file or directory', /apt-get install libgomp1/],
    ['libfoo.so.7: cannot open shared object file: No such file or directory', /needs libfoo\.so\.7/],
    ["/lib/libc.so.6: version `GLIBC_2.38' not found (required by lxmert.node)", /newer system: it needs GLIBC_2\.38/],
    ["/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by x)", /needs GLIBCXX_3\.4\.32/],
    ['lxmert.node: undefined symbol: node_api_symbol_for', /Use Node 20\.17 or newer/],
    ['lxmert.node: undefined symbol: _ZN6lxmert3cpu4gemmEv', /symbol _ZN6lxmert3cpu4gemmEv is missing/],
    ["Module did not self-register: 'lxmert.node'.", /not a Node-API addon/],
    ['lxmert.node: wrong ELF class: ELFCLASS32', /damaged/],
    ['something quite new\nand more', /The system says: something quite new\nBuild it again: .*npm run setup$/],
  ])('%s', (message, expected) => {
    const steps = explainLinker(message, 'npm run setup');
    expect(steps.length).toBeGreaterThan(1);
    expect(steps.join('\n')).toMatch(expected);
  });
});
