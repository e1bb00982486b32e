import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const name = `lxmert-${version}-linux-x64`;

/** Makes a bundle of the files built here, compresses it quickly, and unpacks it in a separate root file system. */
let folder: string;
const bare = (): string => join(folder, 'root');
const unpacked = (): string => join(bare(), name);

const read = (...path: string[]): string => readFileSync(join(...path), 'utf8');
const run = (program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) =>
  spawnSync(program, args, { cwd: folder, encoding: 'utf8', env });

/** The paths of those libraries of glibc with which these programs are linked; other libraries are left out. */
function glibcOf(programs: readonly string[]): string[] {
  const lines = programs.flatMap((program) => run('ldd', [program]).stdout.split('\n'));
  const paths = lines.map((line) => /(\/\S+) \(0x/.exec(line)?.[1]).filter((path) => path !== undefined);
  return [...new Set(paths)].filter((path) => /^(ld-linux.*|lib(c|m|dl|pthread|rt))\.so/.test(basename(path)));
}

/** Makes a root file system with a shell, glibc and /tmp. */
function makeRoot(): void {
  for (const part of ['bin', 'tmp', 'proc', 'dev']) mkdirSync(join(bare(), part), { recursive: true });
  const shell = run('sh', ['-c', 'readlink -f "$(command -v dash || command -v sh)"']).stdout.trim();
  copyFileSync(shell, join(bare(), 'bin/sh'));
  for (const path of glibcOf([shell, process.execPath])) {
    mkdirSync(dirname(join(bare(), path)), { recursive: true });
    copyFileSync(path, join(bare(), path));
  }
}

const ENTER = 'mount --make-rprivate / && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';

/** Whether this process may change its root folder and mount /proc; if not, the bundle runs in this root, in an empty environment. */
let mayEnter: boolean;
const enter = (args: readonly string[]) =>
  run('unshare', ['--mount', 'sh', '-c', ENTER, bare(), ...args], { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` });
/** A path as a program in the bundle's root sees it. */
const seen = (path: string): string => (mayEnter ? path : join(bare(), path));
const lxmert = (...args: string[]) => {
  const launcher = seen(`/${name}/lxmert`);
  const clean = ['/bin/sh', '-c', 'unset PATH; exec "$0" "$@"', launcher, ...args];
  return mayEnter ? enter(clean) : run(launcher, args, {});
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-bundle-'));
  makeRoot();
  // `npm test` installs xz if it has permission.
  const packed = run('sh', ['-c', 'command -v xz']).status === 0;
  const [how, out] = packed ? [['--level', '0'], folder] : [['--unpacked'], bare()];
  const made = run(process.execPath, [join(root, 'scripts/bundle.mjs'), '--as-built', '--out', out, ...how]);
  expect(made.stdout).toBe(`${join(out, packed ? `${name}.tar.xz` : name)}\n`);
  if (packed) {
    rmSync(join(folder, name), { recursive: true });
    expect(run('tar', ['-xf', `${name}.tar.xz`, '-C', 'root']).status).toBe(0);
    expect(statSync(join(folder, `${name}.tar.xz`)).size).toBeLessThan(60 * 2 ** 20);
  }
  mayEnter = enter(['/bin/sh', '-c', ':']).status === 0;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('on a system with only glibc and a shell, the bundle pre-trains like the clone', () => {
  expect(lxmert('--version')).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  const flags = '--preset tiny --max-steps 2 --batch-size 4 --threads 1 --valid none'.split(' ');
  const data = ['scenes', '--images', '12', '--feature-dim', '16', '--pictures', '0', '--out'];
  expect(lxmert(...data, seen('/tmp/scenes'))).toMatchObject({ status: 0 });
  const trained = lxmert('pretrain', '--data', seen('/tmp/scenes'), '--out', seen('/tmp/run'), ...flags);
  expect({ status: trained.status, errors: trained.status === 0 ? '' : trained.stderr }).toEqual({
    status: 0,
    errors: '',
  });

  const main = join(root, 'dist/cli/main.js');
  const here = run(process.execPath, [
    main,
    'pretrain',
    '--data',
    join(bare(), 'tmp/scenes'),
    '--out',
    'run',
    ...flags,
  ]);
  expect(here).toMatchObject({ status: 0 });
  const losses = (...path: string[]) =>
    read(...path, 'metrics.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { losses: unknown }).losses);
  expect(losses(bare(), 'tmp/run')).toHaveLength(2);
  expect(losses(bare(), 'tmp/run')).toEqual(losses(folder, 'run'));
});

/** The launcher with a fake dynamic linker, which runs the given shell commands. */
function launcherOn(linker: string) {
  const loader = join(folder, 'ld.so');
  writeFileSync(loader, `#!/bin/sh\n${linker}\n`, { mode: 0o755 });
  const launcher = join(folder, 'launcher');
  writeFileSync(launcher, read(unpacked(), 'lxmert').replace('/lib64/ld-linux-x86-64.so.2', loader), { mode: 0o755 });
  return run(launcher, ['--version']);
}

test.each([
  [
    'echo "ld.so (GNU libc) stable release version 2.31."',
    /^lxmert: the glibc of this machine is 2\.31, and 2\.\d+ or/,
  ],
  ['echo "ld.so (GNU libc) stable release version 2.9."', /^lxmert: the glibc of this machine is 2\.9, and 2\.\d+ or/],
  [
    'echo "cannot open --version" >&2; exit 127',
    /^lxmert: the glibc of this machine is older than 2\.33, and 2\.\d+ or/,
  ],
])('if glibc is too old, the launcher says so: %s', (linker, message) => {
  const { status, stdout, stderr } = launcherOn(linker);
  expect(stderr).toMatch(message);
  expect(stdout).toBe('');
  expect(status).toBe(1);
});

test('the launcher also starts through a link', () => {
  expect(run('ln', ['-s', join(unpacked(), 'lxmert'), 'link']).status).toBe(0);
  expect(run(join(folder, 'link'), ['--version'])).toMatchObject({ stdout: `${version}\n`, status: 0 });
});

test.each([['/some/where'], [undefined]])(
  'programs that the bundle starts get the LD_LIBRARY_PATH of its caller: %s',
  (outer) => {
    const env = { LXMERT_BUNDLE_STARTED: '1', LD_LIBRARY_PATH: '/bundle/lib', LXMERT_OUTER_LD_LIBRARY_PATH: outer };
    const print =
      'console.log(process.env.LD_LIBRARY_PATH, Object.keys(process.env).some((name) => /LXMERT/.test(name)))';
    const { stdout } = run(process.execPath, ['--require', join(unpacked(), 'app/environment.cjs'), '-e', print], env);
    expect(stdout).toBe(`${outer} false\n`);
  },
);

test('the bundle contains the files that it needs to run, and the licence of each part', () => {
  const modules = join(unpacked(), 'app/node_modules');
  const packages = readdirSync(modules).flatMap((entry) =>
    entry.startsWith('@') ? readdirSync(join(modules, entry)).map((inner) => `${entry}/${inner}`) : [entry],
  );
  expect(packages).toContain('yargs');
  expect(packages.filter((each) => /^(onnxruntime.*|sharp|@img\/.*|node-gyp|jest|typescript)$/.test(each))).toEqual([]);
  const notices = read(unpacked(), 'NOTICES');
  for (const each of packages) expect(notices).toContain(`\n${each} ${packageVersion(modules, each)} (npm)`);
  for (const library of readdirSync(join(unpacked(), 'lib')).filter((each) => each.includes('.so')))
    expect(notices).toContain(library.replace(/\.so.*$/, '.so'));
  for (const part of ['libstdc++.so', 'libgcc_s.so', `Node.js ${process.versions.node}`])
    expect(notices).toContain(part);
  expect(existsSync(join(unpacked(), 'app/dist/.compiled.json'))).toBe(false);
});

const packageVersion = (modules: string, each: string): string =>
  (JSON.parse(read(modules, each, 'package.json')) as { version: string }).version;
