// `node scripts/check-cublaslt.mjs`: our declarations of cuBLASLt against NVIDIA's header, and our way to open the real
// library; no GPU is needed. Where neither the toolkit nor the wheel nvidia-cublas brings them, the wheel is installed in
// build-cuda/venv; where that cannot be, the check says that it is left out.
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findCublasLt, folder, nvcc, nvccVersion } from './lib/cuda.mjs';
import { at, root } from './lib/paths.mjs';
import { outputOf, runStep, say, StepError } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

const headerFolders = (library) =>
  ['../include', '../../include', '../../../include'].map((path) => join(dirname(library), path));

/** A library with its header beside it; null where there is none. */
function installed() {
  const library = findCublasLt();
  const include = library && headerFolders(library).find((path) => existsSync(join(path, 'cublasLt.h')));
  return include ? { library, include } : null;
}

async function install() {
  mkdirSync(folder, { recursive: true });
  const venv = join(folder, 'venv');
  const options = { cwd: root };
  try {
    await runStep('making a Python environment', 'python3', ['-m', 'venv', venv], options);
    const pip = join(venv, 'bin', 'pip');
    await runStep('installing nvidia-cublas into it', pip, ['install', '--quiet', 'nvidia-cublas'], options);
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`cuda: ${error.message}`);
  }
}

await main(async () => {
  if (nvccVersion() === null) return say('cuda: no nvcc: the check of cuBLASLt is left out');
  if (!installed()) await install();
  const found = installed();
  if (!found) return say('cuda: cuBLASLt is neither in a toolkit nor to be had from pip: its check is left out');
  const program = join(folder, 'cublaslt-check');
  const sources = [at('test', 'cuda', 'cublaslt.cc'), at('native', 'cuda', 'cublaslt.cu')];
  const flags = ['-std=c++20', '-I', 'native', '-I', found.include, '-Xcompiler=-Wall,-Wextra,-Werror', '-x', 'cu'];
  await runStep('compiling against cuBLASLt', nvcc, [...flags, ...sources, '-ldl', '-o', program], { cwd: root });
  process.env.LXMERT_CUBLASLT = found.library;
  const told = outputOf(program, []);
  if (told === null) throw new StepError(`${found.library} is not what our declarations say`);
  say(`cuda: ${told.trim()}`);
});
