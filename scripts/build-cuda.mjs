// `npm run build:cuda` builds the CUDA back end, build-cuda/lxmert_cuda.so. With `-- --programs` it also builds the programs that
// scripts/gpu-check.sh runs on a GPU.
import { ensureCuda, ensureCudaPrograms, findLibrary, libraryPath, nvidiaLibraries } from './lib/cuda.mjs';
import { alone } from './lib/lock.mjs';
import { at } from './lib/paths.mjs';
import { say } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

const build = process.argv.includes('--programs') ? () => ensureCudaPrograms(at('build', 'Release')) : ensureCuda;
await main(() => alone(build, 'build-cuda'));
if (process.exitCode === undefined || process.exitCode === 0) {
  const { cublasLt, nccl } = nvidiaLibraries;
  const told = (library, need) => findLibrary(library) ?? `not found, ${need} (pip install ${library.wheel})`;
  say(`cuda: ${libraryPath}; cuBLASLt: ${told(cublasLt, 'a run will need it')}`);
  say(`cuda: NCCL: ${told(nccl, 'several GPUs will need it')}`);
}
