import { chmodSync, existsSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { at, readJson, root } from './paths.mjs';
import { runStep, StepError } from './process.mjs';

/** Whether node_modules holds what package-lock.json asks for. npm writes its own list of what it installed last. */
export function packagesInstalled() {
  const wanted = readJson(at('package-lock.json'))?.packages;
  const installed = readJson(at('node_modules', '.package-lock.json'))?.packages;
  if (!wanted)
    throw new StepError('package-lock.json is missing or damaged', { hint: 'git checkout package-lock.json' });
  if (!installed) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional, devOptional }]) =>
      path === '' ||
      // Optional ones may be for other systems.
      ((optional || devOptional) && installed[path] === undefined) ||
      (installed[path]?.version === version && existsSync(at(path))),
  );
}

/** @returns {Promise<boolean>} whether anything was done */
export async function ensureNpmPackages() {
  if (packagesInstalled()) return false;
  // The npm that called us, else the one on PATH.
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  await runStep(
    'installing npm packages',
    command,
    [...first, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      // onnxruntime-node's own install script fetches CUDA's libraries from elsewhere, and fails where only npm is reached.
      env: { ONNXRUNTIME_NODE_INSTALL: 'skip', ...process.env },
      hint: 'Is the network there? `ONNXRUNTIME_NODE_INSTALL=skip npm ci` by itself shows more.',
    },
  );
  return true;
}

/**
 * `npx lxmert` looks in node_modules/.bin and then in the registry; npm puts no link there for the package that one
 * stands in, so we do.
 */
export function ensureBinLink() {
  const target = '../../dist/cli/main.js';
  const link = at('node_modules', '.bin', 'lxmert');
  const main = at('dist', 'cli', 'main.js');
  if (existsSync(main) && (statSync(main).mode & 0o111) !== 0o111) chmodSync(main, 0o755);
  try {
    if (readlinkSync(link) === target) return;
  } catch {
    // not there, or not a link
  }
  mkdirSync(at('node_modules', '.bin'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(target, link);
}
