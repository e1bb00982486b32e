// `node scripts/check-nvidia-libraries.mjs` compares our declarations of cuBLASLt and NCCL with NVIDIA's headers, links
// test programs with the real libraries, and opens the libraries as a run does. It needs no GPU. A library that is not
// installed is installed in build-cuda/venv. If that fails, the script prints that the check of this library is left
// out.
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findLibrary, folder, nvcc, nvccVersion, nvidiaLibraries } from './lib/cuda.mjs';
import { at, root } from './lib/paths.mjs';
import { outputOf, runStep, say, StepError } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

const { cublasLt, nccl } = nvidiaLibraries;
const opener = at('native', 'cuda', 'nvidia_library.cu');

/** The program that is compiled for each library, and the variable that names the library's file. */
const checks = [
  {
    library: cublasLt,
    variable: 'LXMERT_CUBLASLT',
    sources: [at('test', 'cuda', 'cublaslt.cc'), at('native', 'cuda', 'cublaslt.cu'), opener],
  },
  {
    library: nccl,
    variable: 'LXMERT_NCCL',
    sources: [at('test', 'comm', 'nccl.cc'), at('native', 'comm', 'nccl.cu'), opener],
  },
];

const headerFolders = (library) =>
  ['../include', '../../include', '../../../include', '/usr/include'].map((path) => join(dirname(library), path));

/** Finds a library and its header; null if there is none. */
function installed(library) {
  const file = findLibrary(library);
  const include = file && headerFolders(file).find((path) => existsSync(join(path, library.header)));
  return include ? { file, include } : null;
}

async function install({ wheel }) {
  mkdirSync(folder, { recursive: true });
  const venv = join(folder, 'venv');
  const options = { cwd: root };
  try {
    if (!existsSync(venv)) await runStep('making a Python environment', 'python3', ['-m', 'venv', venv], options);
    const pip = join(venv, 'bin', 'pip');
    await runStep(`installing ${wheel} into it`, pip, ['install', '--quiet', '--retries', '0', wheel], options);
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`cuda: ${error.message}`);
  }
}

async function check({ library, variable, sources }) {
  const { header, wheel } = library;
  if (!installed(library)) await install(library);
  const found = installed(library);
  if (!found)
    return say(`cuda: ${header} and its library are not installed, and pip cannot install them (${wheel}): left out`);
  const program = join(folder, `${header}-check`);
  const flags = ['-std=c++20', '-I', 'native', '-I', found.include, '-Xcompiler=-Wall,-Wextra'];
  const objects = sources.map((source, i) => `${program}-${i}.o`);
  for (const [i, source] of sources.entries())
    await runStep(`compiling against ${header}`, nvcc, [...flags, '-x', 'cu', '-c', source, '-o', objects[i]], {
      cwd: root,
    });
  const libraries = ['-Xlinker', found.file, '-Xlinker', `-rpath=${dirname(found.file)}`, '-ldl'];
  await runStep(`linking with ${found.file}`, nvcc, [...objects, ...libraries, '-o', program], { cwd: root });
  process.env[variable] = found.file;
  const told = outputOf(program, []);
  if (told === null)
    throw new StepError(`${found.file} does not agree with our declarations; ${program} prints the reason`);
  say(`cuda: ${told.trim()}`);
}

await main(async () => {
  if (nvccVersion() === null) return say('cuda: no nvcc: the check of cuBLASLt and NCCL is left out');
  for (const each of checks) await check(each);
});
