// `npm run build:cuda`: the CUDA back end, build-cuda/lxmert_cuda.so.
import { ensureCuda, findLibrary, libraryPath, nvidiaLibraries } from './lib/cuda.mjs';
import { alone } from './lib/lock.mjs';
import { say } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(ensureCuda, 'build-cuda'));
if (process.exitCode === undefined || process.exitCode === 0) {
  const { cublasLt, nccl } = nvidiaLibraries;
  const told = (library, need) => findLibrary(library) ?? `not found, ${need} (pip install ${library.wheel})`;
  say(`cuda: ${libraryPath}; cuBLASLt: ${told(cublasLt, 'a run will need it')}`);
  say(`cuda: NCCL: ${told(nccl, 'several GPUs will need it')}`);
}
