// `npm run build:cuda`: the CUDA back end, build-cuda/lxmert_cuda.so.
import { ensureCuda, findCublasLt, libraryPath } from './lib/cuda.mjs';
import { alone } from './lib/lock.mjs';
import { say } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(ensureCuda, 'build-cuda'));
if (process.exitCode === undefined || process.exitCode === 0) {
  const library = findCublasLt();
  say(`cuda: ${libraryPath}; cuBLASLt: ${library ?? 'not found, a run will need it (pip install nvidia-cublas)'}`);
}
