import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { createRequire } from 'node:module';
import { march, probeCompiler } from './compiler.mjs';
import { nodeFolder, nodeHeaders } from './nodeHeaders.mjs';
import { at, filesBelow, fingerprint, readJson, root } from './paths.mjs';
import { runStep, StepError, tailOf } from './process.mjs';
import { ensureSystemPackages } from './systemPackages.mjs';

const addonPath = at('build', 'Release', 'lxmert.node');

/** The record beside the addon: a fingerprint of its sources, and the CPU features that it needs. src/engine/load.ts reads it, too. */
const recordPath = at('build', 'Release', 'lxmert-build.json');

/** The record of the compiler and flags of the object files in build/. It is also written if the build fails. */
const objectsPath = at('build', 'compiled-with.json');

const require = createRequire(import.meta.url);

/** A fingerprint of everything from which the addon is built, except the compiler and the CPU. */
function sourcesFingerprint() {
  const cuda = at('native', 'cuda') + sep; // these files are in a separate library, which is opened at run time
  const files = filesBelow(at('native'), (file) => !file.startsWith(cuda));
  const headers = require('node-addon-api/package.json').version;
  return fingerprint([at('binding.gyp'), ...files], [march, headers, process.platform, process.arch]);
}

/**
 * Loads the addon in a separate process, because a faulty addon may end the process. Returns a text about the failure,
 * or ''.
 */
export function tryAddon(path) {
  const result = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', path], { encoding: 'utf8' });
  if (result.status === 0) return '';
  if (result.signal !== null) return `loading it ended the process with ${result.signal}`;
  return /^Error: .*$/m.exec(result.stderr)?.[0].slice('Error: '.length) ?? tailOf(result.stderr);
}

/**
 * The folder of Node's headers for node-gyp: those of this Node, so that node-gyp does not download headers, if they exist.
 * @param {string} nodeGyp
 */
async function nodeDirArguments(nodeGyp) {
  if (nodeHeaders() !== null) return [`--nodedir=${nodeFolder()}`];
  try {
    await runStep("downloading Node's headers", process.execPath, [nodeGyp, 'install', '--ensure', '--loglevel=warn'], {
      cwd: root,
    });
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    throw new StepError(
      `Node's headers are not in ${join(nodeFolder(), 'include', 'node')} and cannot be downloaded: let npm_config_nodedir ` +
        "name the folder of a Node that has include/node, or install Node's own package of them (nodejs.org's and NodeSource's " +
        "Node brings them; Debian's: apt-get install libnode-dev)",
      { tail: error.tail },
    );
  }
  return [];
}

/** Whether this CPU has every feature in the list; true if the system does not list features. */
function cpuHas(flags) {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    const present = new Set(line.trim().split(/\s+/));
    return line === '' || flags.every((flag) => present.has(flag));
  } catch {
    return true;
  }
}

/**
 * Builds build/Release/lxmert.node unless it is up to date and loads.
 * @returns {Promise<boolean>} whether anything was done
 */
export async function ensureAddon() {
  const sources = sourcesFingerprint();
  const record = readJson(recordPath);
  const probe = probeCompiler();
  // Without a compiler, an addon that was copied to this machine may still be usable.
  const fits = record !== null && (probe === null || (record.compiler === probe.version && sameFlags(record, probe)));
  const runsHere = existsSync(addonPath) && Array.isArray(record?.cpuFlags) && cpuHas(record.cpuFlags);
  if (fits && runsHere && record.sources === sources && tryAddon(addonPath) === '') return false;

  await ensureSystemPackages();
  await build(sources);
  return true;
}

const sameFlags = (a, b) => String(a.cpuFlags) === String(b.cpuFlags);

async function build(sources) {
  const { version, cpuFlags } = probeCompiler();
  const record = { sources, platform: process.platform, arch: process.arch, march, compiler: version, cpuFlags };
  // make notices changed files, but not another compiler or CPU. In that case everything is built again.
  const objects = readJson(objectsPath);
  const incremental = objects !== null && objects.compiler === version && sameFlags(objects, record);
  rmSync(recordPath, { force: true });
  let problem = incremental ? await make('building what changed in the native addon') : 'not built';
  if (problem !== '') {
    rmSync(at('build'), { recursive: true, force: true });
    mkdirSync(at('build'));
    writeFileSync(objectsPath, JSON.stringify(record));
    problem = await make('building the native addon');
  }
  if (problem !== '') throw new StepError('the addon was built but does not load', { tail: problem });
  writeFileSync(recordPath, `${JSON.stringify(record, null, 2)}\n`);
}

/** Compiles and links all files that are out of date. Returns the reason why the result does not load, or ''. */
async function make(title) {
  const nodeGyp = join(dirname(require.resolve('node-gyp/package.json')), 'bin', 'node-gyp.js');
  const headers = await nodeDirArguments(nodeGyp);
  // A damaged addon is newer than its object files, so make would not link it again.
  rmSync(addonPath, { force: true });
  await runStep(title, process.execPath, [nodeGyp, 'configure', 'build', '--jobs=max', '--loglevel=warn', ...headers], {
    cwd: root,
    hint: '`LXMERT_VERBOSE=1 npm run setup` shows all of it; `rm -rf build` starts afresh.',
  });
  return tryAddon(addonPath);
}
