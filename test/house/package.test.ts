import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Package {
  readonly files: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
}
const pkg = JSON.parse(read('package.json')) as Package;

describe('package.json', () => {
  test('scripts name files that exist', () => {
    const scripts = Object.values(pkg.scripts).flatMap((line) =>
      [...line.matchAll(/scripts\/\S+\.mjs/g)].map(([f]) => f),
    );
    expect(scripts.length).toBeGreaterThan(4);
    expect(scripts.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });

  test('the package has all files to build both back ends, and no tests', () => {
    const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'binding.gyp',
        'dist/cli/main.js',
        'dist/index.js',
        'dist/index.d.ts',
        'native/sources.gypi',
        'native/binding/addon.cc',
        'scripts/build-addon.mjs',
        'scripts/build-cuda.mjs',
        'bench/torch_step.py',
        'scripts/lib/addon.mjs',
      ]),
    );
    // Source maps would refer to sources outside the package, and the emulator is only for tests.
    const unwanted = /^(test|src|build|node_modules|data|runs|native\/cuda\/emulator)\/|\.map$/;
    expect(paths.filter((path) => unwanted.test(path))).toEqual([]);
  });

  test('the lock file belongs to package.json and names no download address', () => {
    const lock = JSON.parse(read('package-lock.json')) as { packages: { '': Record<string, unknown> } };
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, unknown>;
    expect(lock.packages[''].dependencies).toEqual(dependencies);
    expect(lock.packages[''].devDependencies).toEqual(devDependencies);
    expect(read('package-lock.json')).not.toContain('"resolved": "http');
  });

  test('the lock file also has the packages for other systems, because `npm ci` refuses it without them', () => {
    type Entry = { readonly version: string; readonly optionalDependencies?: Readonly<Record<string, string>> };
    const { packages } = JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, Entry>> };
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter((name) => !packages[`${path}/node_modules/${name}`] && !packages[`node_modules/${name}`])
        .map((name) => `${name}, asked for by ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test('setup requires the Node version that "engines" names', () => {
    const [major, minor] = /(\d+)\.(\d+)/.exec(pkg.engines.node)!.slice(1);
    expect(read('scripts/lib/setup.mjs')).toContain(`OLDEST_NODE = [${major}, ${minor}]`);
  });
});

describe('README.md', () => {
  const readme = read('README.md');

  test('names every command of the program, and no other', () => {
    const [, table] = /const commands: CommandTable = \{(.*?)\};/s.exec(read('src/cli/main.ts'))!;
    const commands = [...table.matchAll(/^\s*(\w+):/gm)].map(([, name]) => name);
    const named = [...readme.matchAll(/^\| `lxmert (\w+)/gm)].map(([, name]) => name);
    expect(named.sort()).toEqual(commands.sort());
  });

  test('names npm scripts and files that exist', () => {
    const scripts = [...readme.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name);
    expect(scripts.length).toBeGreaterThan(0);
    expect(scripts.filter((name) => !(name in pkg.scripts))).toEqual([]);
    const links = [...readme.matchAll(/\]\(([^)h][^)]*)\)/g)].map(([, file]) => file);
    expect(links.length).toBeGreaterThan(0);
    expect(links.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });

  test('begins with the two commands that set everything up', () => {
    const blocks = [...readme.matchAll(/```\n(.*?)\n```/gs)].map(([, text]) => text);
    expect(blocks.slice(0, 2)).toEqual(['npm start', 'npm test']);
  });
});

test('docs/architecture.md lists every room; the linter reads the allowed imports there', () => {
  const written = [...read('docs/architecture.md').matchAll(/^\| `src\/(\w+)` \|/gm)].map(([, room]) => room);
  const rooms = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(written.sort()).toEqual(rooms.map(({ name }) => name).sort());
});

test('the linter finds an import that the table does not allow', () => {
  const { forbidden } = createRequire(import.meta.url)('../../.dependency-cruiser.cjs') as {
    forbidden: { name: string; to: { path: string; pathNot: string[] } }[];
  };
  const { to } = forbidden.find(({ name }) => name === 'arrows-of-engine')!;
  const isForbidden = (path: string): boolean =>
    RegExp(to.path).test(path) && !to.pathNot.some((p) => RegExp(p).test(path));
  expect(['src/model/encoder.ts', 'src/cli/run.ts'].map(isForbidden)).toEqual([true, true]);
  expect(['src/engine/ops/linear.ts', 'src/errors.ts'].map(isForbidden)).toEqual([false, false]);
});
