// `npm run build:emulator`: the CUDA back end for tests on a machine without a GPU; `-- --programs`: and what
// scripts/gpu-check.sh runs, in build/emulator/programs.
import { ensureEmulator, ensureEmulatorPrograms } from './lib/emulator.mjs';
import { alone } from './lib/lock.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(process.argv.includes('--programs') ? ensureEmulatorPrograms : ensureEmulator));
