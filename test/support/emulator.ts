import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = fileURLToPath(new URL('../../build/Release/lxmert_cuda_emulator.so', import.meta.url));

/**
 * The CUDA kernels on this CPU (native/cuda/emulator), in a library that `npm test` builds; null where Boost.Context is
 * not installed, and its tests are left out (scripts/lib/emulator.mjs says so).
 */
export const emulator: string | null = existsSync(path) ? path : null;

/** `describe` or `test` where there is an emulator, else the same skipped. */
export const withEmulator = <T extends { skip: T | object }>(of: T): T => (emulator ? of : (of.skip as T));
