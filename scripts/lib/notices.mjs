import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readJson, root } from './paths.mjs';
import { outputOf, StepError } from './process.mjs';

const LICENCE_FILE = /^(licen[cs]e|copying|notice|copyright)([-.].*)?$/i;

const heading = (title) => `${'='.repeat(100)}\n${title}\n${'='.repeat(100)}\n`;

/** The texts of licence files in a folder. */
const textsIn = (folder) =>
  readdirSync(folder)
    .filter((name) => LICENCE_FILE.test(name))
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8').trim());

/** @param {string} folder of an npm package */
function npmNotice(folder) {
  const { name, version, license } = readJson(join(folder, 'package.json')) ?? {};
  const texts = textsIn(folder);
  return `${heading(`${name} ${version} (npm), ${license ?? 'licence in its own text'}`)}${texts.join('\n\n') || `Its package names the licence ${license} and brings no text of it.`}\n`;
}

/** The licence file of Node, which covers all parts of Node. */
function nodeNotice() {
  const prefix = join(process.execPath, '..', '..');
  const places = [
    prefix,
    join(prefix, 'share', 'doc', 'nodejs'),
    join(prefix, 'share', 'doc', 'node'),
    '/usr/share/doc/nodejs',
  ];
  const file = places
    .flatMap((folder) => ['LICENSE', 'copyright'].map((name) => join(folder, name)))
    .find((path) => existsSync(path));
  const text = file
    ? readFileSync(file, 'utf8').trim()
    : `Its licence: https://github.com/nodejs/node/blob/v${process.versions.node}/LICENSE`;
  return `${heading(`Node.js ${process.versions.node}`)}${text}\n`;
}

/** The Debian package to which a file belongs. */
function packageOf(file) {
  for (const path of [file, file.replace(/^\/usr/, ''), realpathSync(file)]) {
    const found = outputOf('dpkg-query', ['-S', path])?.split(': ')[0].split(',')[0];
    if (found) return found;
  }
  return null;
}

/** The licences of shared libraries of the system. Debian has one licence file for each package, and common licences once. */
function libraryNotices(files) {
  const byPackage = new Map();
  for (const file of files) {
    const name = packageOf(file);
    if (name === null)
      throw new StepError(`${file} is not from a Debian package, so its licence is not known`, {
        hint: 'A bundle is made on Debian or Ubuntu, of libraries that apt installed.',
      });
    byPackage.set(name, [...(byPackage.get(name) ?? []), basename(file)]);
  }
  const common = new Set();
  const notices = [...byPackage].map(([name, names]) => {
    const [version, source] = (
      outputOf('dpkg-query', ['-W', '-f', '${Version}\t${source:Package} ${source:Version}', name]) ?? '\t'
    ).split('\t');
    const file = `/usr/share/doc/${name.split(':')[0]}/copyright`;
    const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    if (text === '') throw new StepError(`${file} is missing: the licence of ${names.join(', ')}`);
    for (const [, licence] of text.matchAll(/\/usr\/share\/common-licenses\/([\w.-]*\w)/g)) common.add(licence);
    return `${heading(`${names.join(', ')}: Debian's package ${name} ${version}, unchanged; its source: ${source}`)}${text}\n`;
  });
  for (const licence of [...common].sort()) {
    const file = `/usr/share/common-licenses/${licence}`;
    if (existsSync(file)) notices.push(`${heading(licence)}${readFileSync(file, 'utf8').trim()}\n`);
  }
  return notices;
}

/**
 * The licences of all parts of a bundle, as one text.
 * @param {{ modules: readonly string[], libraries: readonly string[], plugins: readonly { name: string, notice: string }[] }} contents
 * folders of npm packages, files of shared libraries, and plugins
 */
export function noticesOf({ modules, libraries, plugins }) {
  return [
    `${heading('lxmert')}${readFileSync(join(root, 'LICENSE'), 'utf8').trim()}\n`,
    nodeNotice(),
    ...libraryNotices(libraries),
    ...plugins.map(({ name, notice }) => `${heading(`lxmert's ${name} back end`)}${notice}\n`),
    ...modules.map(npmNotice),
  ].join('\n');
}
