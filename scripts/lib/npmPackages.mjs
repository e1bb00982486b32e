import { chmodSync, existsSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { at, readJson, root } from './paths.mjs';
import { runStep, StepError } from './process.mjs';

/** Whether node_modules has the packages of package-lock.json. npm writes a list of the packages that it installed last. */
export function packagesInstalled() {
  const wanted = readJson(at('package-lock.json'))?.packages;
  const installed = readJson(at('node_modules', '.package-lock.json'))?.packages;
  if (!wanted)
    throw new StepError('package-lock.json is missing or damaged', { hint: 'git checkout package-lock.json' });
  if (!installed) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional, devOptional }]) =>
      path === '' ||
      // Optional packages may be for other systems.
      ((optional || devOptional) && installed[path] === undefined) ||
      (installed[path]?.version === version && existsSync(at(path))),
  );
}

/** @returns {Promise<boolean>} whether anything was done */
export async function ensureNpmPackages() {
  if (packagesInstalled()) return false;
  // The npm that started this script, or otherwise the npm on PATH.
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  await runStep(
    'installing npm packages',
    command,
    [...first, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      // The install script of onnxruntime-node downloads CUDA's libraries from another server, and fails if only npm's registry
      // can be reached.
      env: { ONNXRUNTIME_NODE_INSTALL: 'skip', ...process.env },
      hint: 'Is the network there? `ONNXRUNTIME_NODE_INSTALL=skip npm ci` by itself shows more.',
    },
  );
  return true;
}

/**
 * `npx lxmert` searches node_modules/.bin and then the registry. npm makes no link in this folder for the package of
 * the current folder, so this function makes the link.
 */
export function ensureBinLink() {
  const target = '../../dist/cli/main.js';
  const link = at('node_modules', '.bin', 'lxmert');
  const main = at('dist', 'cli', 'main.js');
  if (existsSync(main) && (statSync(main).mode & 0o111) !== 0o111) chmodSync(main, 0o755);
  try {
    if (readlinkSync(link) === target) return;
  } catch {
    // The link does not exist, or it is not a link.
  }
  mkdirSync(at('node_modules', '.bin'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(target, link);
}
