import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = fileURLToPath(new URL('../../build/Release/lxmert_cuda_emulator.so', import.meta.url));

/**
 * The path of the library that runs the CUDA kernels on this CPU (native/cuda/emulator); `npm test` builds it. Null if
 * Boost.Context is not installed: then the tests that need it are skipped (scripts/lib/emulator.mjs says so).
 */
export const emulator: string | null = existsSync(path) ? path : null;

/** `describe` or `test` if there is an emulator, else its `skip`. */
export const withEmulator = <T extends { skip: T | object }>(of: T): T => (emulator ? of : (of.skip as T));
