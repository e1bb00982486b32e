import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { compiler, march, probeCompiler } from './compiler.mjs';
import { at, fingerprint, readJson, root } from './paths.mjs';
import { say, StepError, tailOf } from './process.mjs';

/** Flags to compile for the emulator. Only nvcc supports `#pragma unroll`. */
export const emulatorFlags = () => [
  ...readJson(at('native', 'sources.gypi')).variables.lxmert_cxx_flags,
  ...[`-march=${march}`, '-fPIC', '-Wno-unknown-pragmas', '-I', 'native'],
];

/** The project's files that a compilation read, from the compiler's list. @param {string} list a make rule */
const inputsOf = (list) =>
  list
    .replace(/^[^:]*:/, '')
    .split(/\s+/)
    .filter((word) => word !== '' && word !== '\\')
    .map((path) => resolve(root, path));

/** @param {{ inputs: string[], fingerprint: string } | undefined} known */
const isCurrent = (known, extra) =>
  known !== undefined && known.inputs.every(existsSync) && fingerprint(known.inputs, extra) === known.fingerprint;

function compile(source, object, flags) {
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

/**
 * Object files of C++ sources in a folder. A source is compiled again if one of its files has changed, as many at a time as
 * there are cores. If one source fails, the objects of the others are kept.
 */
export class Objects {
  /** The inputs of each object: source -> { inputs, fingerprint }. */
  #record;
  #recordPath;

  /** @param {string} folder @param {string} title the purpose of the objects, for messages */
  constructor(folder, title) {
    this.folder = folder;
    this.title = title;
    this.#recordPath = join(folder, 'compiled-from.json');
    this.#record = readJson(this.#recordPath) ?? {};
  }

  /** @param {string} source a path in the checkout; test/cuda/support/programs.ts uses the same names */
  path(source) {
    return join(this.folder, `${source.replaceAll('/', '-')}.o`);
  }

  /** One fingerprint of all inputs of these objects. @param {readonly string[]} sources */
  fingerprint(sources) {
    return sources.map((source) => this.#record[source]?.fingerprint).join();
  }

  /** @param {readonly string[]} sources @param {(source: string) => string[]} flagsOf */
  async ensure(sources, flagsOf) {
    const { version, cpuFlags } = probeCompiler();
    const extra = (source) => [...flagsOf(source), version, String(cpuFlags)];
    const stale = sources.filter(
      (source) => !existsSync(this.path(source)) || !isCurrent(this.#record[source], extra(source)),
    );
    if (stale.length === 0) return;
    mkdirSync(this.folder, { recursive: true });
    say(`setup: compiling ${stale.length} of ${sources.length} files for ${this.title} ...`);
    const start = performance.now();
    const queue = [...stale];
    const work = async () => {
      for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
        delete this.#record[source];
        const inputs = await compile(source, this.path(source), flagsOf(source));
        this.#record[source] = { inputs, fingerprint: fingerprint(inputs, extra(source)) };
      }
    };
    const results = await Promise.allSettled(Array.from({ length: availableParallelism() }, work));
    writeFileSync(this.#recordPath, JSON.stringify(this.#record));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
    say(`setup: compiling for ${this.title}: done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
}
