import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));

function setup(cwd: string, env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/setup.mjs'], {
    cwd,
    env: { ...process.env, LXMERT_MARCH: '', LXMERT_VERBOSE: '', CXX: undefined, PYTHON: undefined, ...env },
    encoding: 'utf8',
  });
  expect(stdout).toBe('');
  return { status, stderr };
}

/** A project with one native file, one TypeScript file and the scripts of this project; its path contains a space. */
let folder: string;
const put = (path: string, text: string): void => writeFileSync(join(folder, path), text);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert setup '));
  for (const path of [
    'scripts',
    'binding.gyp',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
  ]) {
    cpSync(join(root, path), join(folder, path), { recursive: true });
  }
  // Links to everything that npm installed, except node_modules/.bin, into which setup writes its own link.
  mkdirSync(join(folder, 'node_modules'));
  spawnSync('bash', ['-c', `ln -s "${root}"node_modules/{*,.package-lock.json} node_modules/`], { cwd: folder });
  mkdirSync(join(folder, 'src', 'cli'), { recursive: true });
  mkdirSync(join(folder, 'native'));
  put('src/cli/main.ts', '#!/usr/bin/env node\nexport const answer = 42;\n');
  put(
    'native/addon.cc',
    '#include <napi.h>\nstatic Napi::Object init(Napi::Env, Napi::Object e) { return e; }\nNODE_API_MODULE(lxmert, init)\n',
  );
  const list = JSON.parse(readFileSync(join(root, 'native', 'sources.gypi'), 'utf8'));
  list.variables.lxmert_sources = ['native/addon.cc'];
  put('native/sources.gypi', JSON.stringify(list));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('setup', () => {
  test('builds, then does nothing, then rebuilds changed files, and reports errors', () => {
    const first = setup(folder);
    expect(first.stderr).toMatch(/building the native addon.*compiling TypeScript.*setup: ready/s);
    expect(first.status).toBe(0);
    const record = JSON.parse(readFileSync(join(folder, 'build', 'Release', 'lxmert-build.json'), 'utf8'));
    expect(record).toMatchObject({
      platform: 'linux',
      arch: process.arch,
      march: 'native',
      cpuFlags: expect.any(Array),
    });

    expect(setup(folder).stderr).toMatch(/^setup: nothing to do/);

    put('native/addon.cc', `${readFileSync(join(folder, 'native', 'addon.cc'), 'utf8')}// more\n`);
    const changed = setup(folder);
    expect(changed.stderr).toContain('building what changed in the native addon');
    expect(changed.stderr).not.toContain('TypeScript');

    put('src/cli/main.ts', 'export const answer: string = 42;\n');
    const wrongTypes = setup(folder);
    expect(wrongTypes.stderr).toMatch(/error TS2322.*lxmert: compiling TypeScript: failed/s);
    expect(wrongTypes.status).toBe(1);
    put('src/cli/main.ts', 'export const answer = 43;\n');
    expect(setup(folder).status).toBe(0);

    // An addon from another machine is built again, and so is a damaged one.
    const path = join(folder, 'build', 'Release', 'lxmert.node');
    rmSync(path);
    put('build/Release/lxmert.node', 'damaged');
    expect(setup(folder).stderr).toMatch(/building .*setup: ready/s);

    put('native/addon.cc', '#error "not today"\n');
    const broken = setup(folder);
    expect(broken.stderr).toMatch(/not today.*lxmert: building .*: failed.*LXMERT_VERBOSE=1/s);
    expect(broken.status).toBe(1);

    const march = setup(folder, { LXMERT_MARCH: 'toaster' });
    expect(march.stderr).toMatch(/lxmert: g\+\+ does not know -march=toaster/);
    expect(march.status).toBe(1);
  });
});

describe('if the system lacks something', () => {
  /** A PATH with only Node. */
  function bare(programs: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
    mkdirSync(join(folder, 'bin'));
    symlinkSync(process.execPath, join(folder, 'bin', 'node'));
    for (const [name, script] of Object.entries(programs)) {
      put(`bin/${name}`, `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, 'bin', name), 0o755);
    }
    return { PATH: join(folder, 'bin') };
  }
  const isRoot = process.getuid?.() === 0;
  const sudo = isRoot ? '' : 'sudo ';

  test('without a known package manager, setup names what is missing', () => {
    const { status, stderr } = setup(folder, bare());
    expect(stderr).toContain(
      'lxmert: missing: a C++ compiler, make, Python 3 (for node-gyp), oneDNN with its headers\n',
    );
    expect(status).toBe(1);
  });

  test('without permission to install, setup prints the command line to install it', () => {
    const { status, stderr } = setup(folder, bare({ dnf: 'exit 1' }));
    expect(stderr).toContain(`\n  ${sudo}dnf install -y gcc-c++ make python3 onednn-devel\n`);
    expect(status).toBe(1);
  });

  test('on Debian: for root, setup installs, and updates outdated package lists; for others, it prints the command line', () => {
    const env = bare({
      'apt-get': `echo "$@" >> "${folder}/apt.log"\n[ $# = 3 ] || { echo 'E: Unable to locate'; exit 100; }`,
    });
    const { status, stderr } = setup(folder, env);
    expect(status).toBe(1);
    if (!isRoot) {
      expect(stderr).toContain('\n  sudo apt-get install -y --no-install-recommends g++ make python3 libdnnl-dev\n');
      return;
    }
    const calls = readFileSync(join(folder, 'apt.log'), 'utf8').trimEnd().split('\n');
    expect(calls.map((line) => line.split(' ')[2])).toEqual(['install', 'update', 'install']);
    expect(calls[0]).toContain('g++ make python3 libdnnl-dev');
    expect(stderr).toContain('E: Unable to locate');
    expect(stderr).toContain('See to it that "apt-get install g++ make python3 libdnnl-dev" works');
  });

  test("if Node's headers are missing and cannot be downloaded, one line says so and names both solutions", () => {
    rmSync(join(folder, 'build'), { recursive: true, force: true });
    mkdirSync(join(folder, 'node', 'bin'), { recursive: true });
    // No process listens at that port.
    const offline = { npm_config_disturl: 'http://127.0.0.1:9/', npm_config_devdir: join(folder, 'headers') };
    const { status, stderr } = setup(folder, { ...offline, npm_config_nodedir: join(folder, 'node') });
    expect(status).toBe(1);
    const line = stderr.split('\n').find((text) => text.startsWith('lxmert: '));
    expect(line).toContain(`Node's headers are not in ${folder}/node/include/node and cannot be downloaded: `);
    expect(line).toMatch(/npm_config_nodedir name .*, or install Node's own package of them .*libnode-dev/);
  });

  test('if missing npm packages cannot be installed, setup says so', () => {
    rmSync(join(folder, 'node_modules'), { recursive: true });
    const { status, stderr } = setup(folder, { ...bare({ npm: 'echo "no network"; exit 1' }), npm_execpath: '' });
    expect(stderr).toMatch(
      /installing npm packages.*no network.*lxmert: installing npm packages: failed \(exit code 1\)/s,
    );
    expect(status).toBe(1);
  });
});
