import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { compiler, march, probeCompiler } from './compiler.mjs';
import { at, fingerprint, readJson, root } from './paths.mjs';
import { runStep, say, StepError, tailOf } from './process.mjs';
import { ensureEmulatorPackages, ensureSystemPackages } from './systemPackages.mjs';

/** The plugin, beside the addon that opens it. */
const libraryPath = at('build', 'Release', 'lxmert_cuda_emulator.so');

const objectsFolder = at('build', 'emulator');

/** What each object was compiled from: source -> { inputs, fingerprint }; and what the library was linked from. */
const recordPath = join(objectsFolder, 'compiled-from.json');

const LINK = ['-shared', '-fopenmp', '-Wl,--no-undefined', '-lboost_context'];

const objectOf = (source) => join(objectsFolder, `${basename(source)}.o`);

function compilation() {
  const { variables } = readJson(at('native', 'sources.gypi'));
  return {
    sources: [...variables.lxmert_cuda_sources, ...variables.lxmert_emulator_sources],
    flags: [
      ...variables.lxmert_cxx_flags,
      // More would compile for longer and make fibers no faster; `#pragma unroll` is nvcc's.
      ...['-O2', `-march=${march}`, '-fPIC', '-Wno-unknown-pragmas', '-I', 'native'],
    ],
  };
}

/** The project's own files that a compilation read, as the compiler listed them. @param {string} list a make rule */
const inputsOf = (list) =>
  list
    .replace(/^[^:]*:/, '')
    .split(/\s+/)
    .filter((word) => word !== '' && word !== '\\')
    .map((path) => resolve(root, path));

/** @param {{ inputs: string[], fingerprint: string } | undefined} known */
const isCurrent = (known, extra) =>
  known !== undefined && known.inputs.every(existsSync) && fingerprint(known.inputs, extra) === known.fingerprint;

function compile(source, flags) {
  const object = objectOf(source);
  const child = spawn(compiler, [...flags, '-MMD', '-MF', `${object}.d`, '-x', 'c++', '-c', source, '-o', object], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((done, fail) => {
    child.on('error', (error) => fail(new StepError(`cannot start ${compiler}: ${error.message}`)));
    child.on('close', (code) =>
      code === 0
        ? done(inputsOf(readFileSync(`${object}.d`, 'utf8')))
        : fail(new StepError(`${source} does not compile for the emulator`, { tail: tailOf(output) })),
    );
  });
}

/** Compiles what changed, as many at a time as there are cores. Whatever fails, what was compiled is kept. */
async function compileChanged(stale, flags, extra, record) {
  const queue = [...stale];
  const work = async () => {
    for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
      delete record.objects[source];
      const inputs = await compile(source, flags);
      record.objects[source] = { inputs, fingerprint: fingerprint(inputs, extra) };
    }
  };
  const results = await Promise.allSettled(Array.from({ length: availableParallelism() }, work));
  writeFileSync(recordPath, JSON.stringify(record));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

/**
 * Builds build/Release/lxmert_cuda_emulator.so unless it is up to date.
 * @returns {Promise<boolean>} whether anything was done
 */
export async function ensureEmulator() {
  await ensureSystemPackages();
  await ensureEmulatorPackages();
  const { sources, flags } = compilation();
  const extra = [...flags, probeCompiler().version, String(probeCompiler().cpuFlags)];
  const record = readJson(recordPath) ?? { objects: {} };
  const stale = sources.filter((source) => !existsSync(objectOf(source)) || !isCurrent(record.objects[source], extra));
  const link = sources.map((source) => record.objects[source]?.fingerprint).join();
  if (stale.length === 0 && existsSync(libraryPath) && record.linked === link) return false;

  mkdirSync(objectsFolder, { recursive: true });
  mkdirSync(at('build', 'Release'), { recursive: true });
  if (stale.length > 0) {
    say(`setup: compiling ${stale.length} of ${sources.length} files for the emulator ...`);
    const start = performance.now();
    await compileChanged(stale, flags, extra, record);
    say(`setup: compiling for the emulator: done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
  rmSync(libraryPath, { force: true });
  await runStep('linking the emulator', compiler, [...sources.map(objectOf), ...LINK, '-o', libraryPath], {
    cwd: root,
  });
  record.linked = sources.map((source) => record.objects[source].fingerprint).join();
  writeFileSync(recordPath, JSON.stringify(record));
  return true;
}

/** The same before tests, which do without it where Boost.Context is not installed and may not be. */
export async function ensureEmulatorForTests() {
  try {
    await ensureEmulatorPackages();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    rmSync(libraryPath, { force: true });
    say(`setup: the tests of the CUDA kernels are left out: ${error.message}\n${error.hint}`);
    return;
  }
  await ensureEmulator();
}
