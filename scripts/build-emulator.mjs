// `npm run build:emulator` builds the CUDA back end for tests on a machine without a GPU. With `-- --programs` it also builds
// the programs that scripts/gpu-check.sh runs, in build/emulator/programs.
import { ensureEmulator, ensureEmulatorPrograms } from './lib/emulator.mjs';
import { alone } from './lib/lock.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(process.argv.includes('--programs') ? ensureEmulatorPrograms : ensureEmulator));
