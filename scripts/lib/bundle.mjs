import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { librariesOf, newestSymbols } from './elf.mjs';
import { noticesOf } from './notices.mjs';
import { at, filesBelow, readJson, root } from './paths.mjs';
import { plugins } from './plugins.mjs';
import { outputOf, runStep, say, StepError } from './process.mjs';

/** Packages that only a build needs, and large packages that no command of a bundle needs. */
const LEFT_OUT = [/^node-gyp$/, /^node-addon-api$/, /^onnxruntime/, /^sharp$/, /^@img\//];

/** Libraries of the compiler, which the system may have in a newer version. The launcher chooses one (scripts/bundle/lxmert). */
const CXX_LIBRARY = /^(libstdc\+\+|libgcc_s)\.so/;

/** Files that are not needed at run time. */
const NOT_RUN = /\.(map|d\.ts|d\.mts|d\.cts|md|markdown)$|\/\.[^/]*$|\.compiled\.json$/;

const bundleName = () => `lxmert-${readJson(at('package.json')).version}-linux-x64`;

/** Folders of the npm packages that the program needs, from npm's lock file, relative to the checkout. */
function productionModules() {
  const { packages } = readJson(at('package-lock.json'));
  const found = new Set();
  const visit = (from, { dependencies = {}, optionalDependencies = {} }) => {
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (LEFT_OUT.some((pattern) => pattern.test(name))) continue;
      // Searches like Node: the nearest node_modules first, then those of the parent folders.
      let folder = from;
      let path = join(folder, 'node_modules', name);
      while (packages[path] === undefined && folder !== '') {
        folder = folder.includes('/node_modules/') ? folder.slice(0, folder.lastIndexOf('/node_modules/')) : '';
        path = join(folder, 'node_modules', name);
      }
      if (found.has(path) || !existsSync(at(path))) continue; // an optional package may be for another system
      found.add(path);
      visit(path, packages[path]);
    }
  };
  visit('', packages['']);
  return [...found].sort();
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  return to;
}

/** Copies a program or library without its debug information. */
function copyStripped(from, to) {
  copy(from, to);
  chmodSync(to, 0o755);
  if (outputOf('strip', ['--strip-unneeded', to]) === null) throw new StepError(`strip fails for ${from}`);
  return to;
}

const copyFiles = (from, to, keep = () => true) => {
  for (const file of filesBelow(from, (path) => keep(path) && !NOT_RUN.test(path)))
    copy(file, join(to, file.slice(from.length)));
};

/** Replaces the @NAMES@ in the launcher. */
function writeLauncher(file, values) {
  const text = readFileSync(at('scripts', 'bundle', 'lxmert'), 'utf8');
  writeFileSync(
    file,
    text.replaceAll(/@([A-Z_]+)@/g, (_, name) => values[name]),
    { mode: 0o755 },
  );
}

/**
 * Makes the folder of the bundle.
 * @param {import('./bundleAddon.mjs').BuiltAddon} addon
 * @param {string} out the folder in which it is made
 * @returns {{ folder: string, glibc: string, absent: { name: string, build: string }[] }} the folder, the oldest glibc that it runs on,
 * and the plugins that are not in it
 */
export function assemble(addon, out) {
  const folder = join(out, bundleName());
  rmSync(folder, { recursive: true, force: true });
  const app = join(folder, 'app');

  const { name, version, type, exports, license } = readJson(at('package.json'));
  mkdirSync(app, { recursive: true });
  writeFileSync(join(app, 'package.json'), `${JSON.stringify({ name, version, license, type, exports }, null, 2)}\n`);
  copyFiles(at('dist'), join(app, 'dist'));
  copyFiles(at('bench'), join(app, 'bench'), (path) => path.endsWith('.py'));
  for (const fixture of ['tiny', 'head32'])
    cpSync(at('test/fixtures', fixture), join(app, 'fixtures', fixture), { recursive: true });
  copy(at('scripts/bundle/environment.cjs'), join(app, 'environment.cjs'));
  copyFiles(at('scripts/gpu'), join(app, 'scripts/gpu'));
  chmodSync(copy(at('scripts/gpu-check.sh'), join(folder, 'gpu-check.sh')), 0o755);
  const modules = productionModules();
  for (const path of modules)
    copyFiles(at(path), join(app, path), (file) => !file.slice(at(path).length).includes('/node_modules/'));

  const node = copyStripped(process.execPath, join(folder, 'bin', 'node'));
  const built = join(app, 'build', 'Release');
  const native = copyStripped(join(addon.folder, 'lxmert.node'), join(built, 'lxmert.node'));
  copy(join(addon.folder, 'lxmert-build.json'), join(built, 'lxmert-build.json'));
  const [present, absent] = [
    plugins.filter(({ file }) => existsSync(at(file))),
    plugins.filter(({ file }) => !existsSync(at(file))),
  ];
  const opened = present.map(({ file }) => at(file));
  // These programs need the objects of the CUDA back end, so they exist only if it is built.
  const programs = present.length > 0 ? filesBelow(addon.programs) : [];
  const executables = [
    ...opened.map((file, i) => copyStripped(file, join(app, present[i].file))),
    ...programs.map((file) => copyStripped(file, join(app, 'build-cuda', 'programs', basename(file)))),
  ];

  const libraries = librariesOf([process.execPath, join(addon.folder, 'lxmert.node'), ...opened, ...programs]);
  const placed = [...libraries].map(([wanted, file]) =>
    copyStripped(file, join(folder, CXX_LIBRARY.test(wanted) ? 'lib/cxx' : 'lib', wanted)),
  );
  const isCxx = (file) => CXX_LIBRARY.test(basename(file));
  const linked = [node, native, ...executables, ...placed.filter((file) => !isCxx(file))];
  const needs = {
    VERSION: version,
    GLIBC: newestSymbols(linked, 'GLIBC'),
    CXX: newestSymbols(linked, 'GLIBCXX').split('.')[2] ?? '0',
    CXX_GLIBC: newestSymbols(placed.filter(isCxx), 'GLIBC'),
  };
  writeLauncher(join(folder, 'lxmert'), needs);
  copy(at('LICENSE'), join(folder, 'LICENSE'));
  copy(at('docs/bundle.md'), join(folder, 'README.md'));
  const notices = noticesOf({
    modules: modules.map((path) => at(path)),
    libraries: [...libraries.values()],
    plugins: present,
  });
  writeFileSync(join(folder, 'NOTICES'), notices);
  const record = {
    version,
    commit: outputOf('git', ['-C', root, 'rev-parse', 'HEAD'])?.trim(),
    march: addon.march,
    glibc: needs.GLIBC,
    node: process.versions.node,
    plugins: present.map(({ name }) => name),
  };
  writeFileSync(join(folder, 'bundle.json'), `${JSON.stringify(record, null, 2)}\n`);
  return { folder, glibc: needs.GLIBC, absent };
}

/** Packs the folder into an archive beside it. Returns the path of the archive. @param {string} folder @param {string} level of xz */
export async function archive(folder, level) {
  const file = `${folder}.tar.xz`;
  const made = `${file}.new`;
  const owner = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner'];
  await runStep(
    'packing the bundle',
    'tar',
    [...owner, '-I', `xz -T0 -${level}`, '-C', dirname(folder), '-cf', made, basename(folder)],
    { cwd: root },
  );
  renameSync(made, file);
  say(`bundle: ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB`);
  return file;
}
