// Builds the CUDA back end, build-cuda/lxmert_cuda.so, with nvcc. The library links the CUDA runtime statically and opens cuBLASLt
// at run time, so the build needs only nvcc and no GPU.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { cpuObjectOf, programSources } from './devicePrograms.mjs';
import { at, filesBelow, fingerprint, readJson, root } from './paths.mjs';
import { outputOf, runStep, say, StepError, tailOf } from './process.mjs';

/** The output folder. It is not build/, because node-gyp empties that folder. */
export const folder = at('build-cuda');
export const libraryPath = join(folder, 'lxmert_cuda.so');
const recordPath = join(folder, 'compiled-from.json');

export const nvcc = process.env.NVCC || 'nvcc';

/** nvcc's version; null if there is no nvcc. */
export const nvccVersion = () => /release \S+ (V\S+)/.exec(outputOf(nvcc, ['--version']) ?? '')?.[1] ?? null;

/** The compute capabilities to build for: those of the list (or of LXMERT_CUDA_TARGETS, such as 80,90) that nvcc supports. */
function targets(listed) {
  const wanted = process.env.LXMERT_CUDA_TARGETS?.split(',') ?? listed;
  const known = new Set(outputOf(nvcc, ['--list-gpu-code'])?.match(/\d+/g) ?? []);
  const absent = wanted.filter((target) => !known.has(target));
  if (absent.length > 0) say(`cuda: this nvcc does not know sm_${absent.join(', sm_')}: left out`);
  return wanted.filter((target) => known.has(target));
}

function compilation() {
  const { variables } = readJson(at('native', 'sources.gypi'));
  return {
    sources: [...variables.lxmert_cuda_sources, ...variables.lxmert_cuda_toolkit_sources],
    flags: [
      ...variables.lxmert_cuda_flags,
      // With this file the library runs on all systems on which a bundle runs.
      ...['-include', 'scripts/lib/older-libstdc++.h'],
      ...targets(variables.lxmert_cuda_targets).map((target) => `-gencode=arch=compute_${target},code=sm_${target}`),
    ],
  };
}

/** Folders of files that nvcc compiles. */
const OWN = ['native', 'bench', 'test'].map((room) => at(room) + sep);

const objectOf = (source) => join(folder, `${basename(source)}.o`);

/** The project's files that a compilation read. @param {string} rule of make */
const inputsOf = (rule) =>
  rule
    .replace(/^[^:]*:/, '')
    .split(/\s+/)
    .filter((word) => word !== '' && word !== '\\')
    .map((path) => resolve(root, path))
    .filter((path) => OWN.some((room) => path.startsWith(room)));

/** Whether a file has kernels, which must be compiled for each target. */
const isHostOnly = (source) => !/__global__|LXMERT_LAUNCH/.test(readFileSync(at(source), 'utf8'));

/** Compiles one file. Returns the files that it read, and the output of ptxas for its kernels. */
async function compile(source, allFlags) {
  const flags = isHostOnly(source) ? allFlags.filter((flag) => !flag.startsWith('-gencode')) : allFlags;
  const object = objectOf(source);
  const rule = `${object}.d`;
  const child = spawn(nvcc, [...flags, '-Xptxas', '-v', '-MMD', '-MF', rule, '-c', source, '-o', object], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const code = await new Promise((done, fail) => {
    child.on('error', (error) => fail(new StepError(`cannot start ${nvcc}: ${error.message}`)));
    child.on('close', done);
  });
  if (code !== 0) throw new StepError(`${source} does not compile`, { tail: tailOf(output) });
  return { inputs: inputsOf(readFileSync(rule, 'utf8')), report: output };
}

/** Compiles files, as many at a time as there are cores. */
async function compileAll(sources, flags, extra, record) {
  const queue = [...sources];
  const work = async () => {
    for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
      delete record.objects[source];
      const start = performance.now();
      const { inputs, report } = await compile(source, flags);
      record.objects[source] = { inputs, report, fingerprint: fingerprint(inputs, extra) };
      writeFileSync(recordPath, JSON.stringify(record)); // after each file, so that an interruption costs little work
      say(`cuda: ${source}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: availableParallelism() }, work));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

/** Compiles all files that are not up to date. Returns the record of all files. */
async function ensureObjects(sources, flags) {
  mkdirSync(folder, { recursive: true });
  const version = nvccVersion();
  const extra = [...flags, version];
  const record = readJson(recordPath) ?? { objects: {} };
  const isCurrent = (source) => {
    const known = record.objects[source];
    return (
      known !== undefined &&
      existsSync(objectOf(source)) &&
      known.inputs.every(existsSync) &&
      fingerprint(known.inputs, extra) === known.fingerprint
    );
  };
  const stale = sources.filter((source) => !isCurrent(source));
  if (stale.length > 0) {
    say(`cuda: compiling ${stale.length} of ${sources.length} files with nvcc ${version} ...`);
    await compileAll(stale, flags, extra, record);
  }
  return record;
}

/**
 * Builds the library unless it is up to date.
 * @returns {Promise<{ built: boolean, reports: Map<string, string> }>} the output of ptxas, by source file
 */
export async function ensureCuda() {
  const version = nvccVersion();
  if (version === null)
    throw new StepError(`there is no nvcc (${nvcc}), which is needed to compile the CUDA back end`, {
      hint: "Install NVIDIA's CUDA toolkit, 12.8 or newer, or name its nvcc: NVCC=/usr/local/cuda/bin/nvcc npm run build:cuda",
    });
  const { sources, flags } = compilation();
  const record = await ensureObjects(sources, flags);
  const linked = sources.map((source) => record.objects[source].fingerprint).join();
  const built = !existsSync(libraryPath) || record.linked !== linked;
  if (built) {
    rmSync(libraryPath, { force: true });
    const args = ['-shared', '-cudart=static', ...sources.map(objectOf), '-Xlinker', '--no-undefined', '-ldl'];
    await runStep('linking the CUDA back end', nvcc, [...args, '-o', libraryPath], { cwd: root });
    record.linked = linked;
    writeFileSync(recordPath, JSON.stringify(record));
  }
  noteLibraries();
  return { built, reports: new Map(sources.map((source) => [source, record.objects[source].report])) };
}

/** Programs that check the kernels on a device (scripts/gpu-check.sh), beside the objects of the library. */
export const programsFolder = join(folder, 'programs');

/**
 * Links those programs. Returns their paths by name.
 * @param {string} addonFolder the folder of the addon's build. One program compares kernels with its CPU kernels
 * @param {string} [out] the output folder
 */
export async function ensureCudaPrograms(addonFolder, out = programsFolder) {
  await ensureCuda();
  const { sources, flags } = compilation();
  const programs = programSources();
  await ensureObjects(
    [...new Set(Object.values(programs).flat())].filter((source) => source.endsWith('.cu')),
    flags,
  );
  mkdirSync(out, { recursive: true });
  const paths = {};
  for (const [name, own] of Object.entries(programs)) {
    paths[name] = join(out, name);
    const objects = [
      ...own.map((source) => (source.endsWith('.cu') ? objectOf(source) : cpuObjectOf(addonFolder, source))),
      ...sources.map(objectOf),
    ];
    await runStep(
      `linking ${name} for the GPU`,
      nvcc,
      ['-cudart=static', ...objects, '-Xcompiler=-fopenmp', '-ldl', '-o', paths[name]],
      { cwd: root },
    );
  }
  return paths;
}

/** The folder of the toolkit, above nvcc's. */
function toolkit() {
  const found = outputOf('sh', ['-c', `command -v "${nvcc}"`])?.trim();
  return found ? dirname(dirname(realpathSync(found))) : null;
}

/** NVIDIA's libraries that the plugin opens (native/cuda/nvidia_library.h): their files, their wheels, and the files with their noted paths. */
export const nvidiaLibraries = {
  cublasLt: { file: /^libcublasLt\.so\.\d+$/, header: 'cublasLt.h', wheel: 'nvidia-cublas', note: 'cublaslt.path' },
  nccl: { file: /^libnccl\.so\.\d+$/, header: 'nccl.h', wheel: 'nvidia-nccl-cu13', note: 'nccl.path' },
};

/**
 * Finds a library in the toolkit, in the system, or in a wheel of build-cuda/venv or of the first python3; null if there is none.
 * @param {{ file: RegExp }} library
 */
export function findLibrary({ file }) {
  const python = [join(folder, 'venv', 'bin', 'python'), 'python3'];
  const wheel = 'import nvidia, os; print(os.linesep.join(nvidia.__path__))';
  const wheels = python.flatMap((program) => outputOf(program, ['-c', wheel])?.split('\n') ?? []);
  const toolkits = [process.env.CUDA_HOME, process.env.CUDA_PATH, toolkit(), '/usr/local/cuda'].flatMap((home) =>
    home ? ['lib64', 'lib', join('targets', 'x86_64-linux', 'lib')].map((part) => join(home, part)) : [],
  );
  const places = [...toolkits, '/usr/lib/x86_64-linux-gnu', ...wheels.filter((path) => path !== '')];
  for (const place of places) {
    const [found] = filesBelow(place, (path) => file.test(basename(path)));
    if (found) return realpathSync(found);
  }
  return null;
}

/** Writes the paths of libraries into files for the plugin, in case the system does not find the libraries. */
function noteLibraries() {
  for (const library of Object.values(nvidiaLibraries)) {
    const found = findLibrary(library);
    if (found) writeFileSync(join(folder, library.note), `${found}\n`);
    else rmSync(join(folder, library.note), { force: true });
  }
}
