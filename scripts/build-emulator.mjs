// `npm run build:emulator`: the CUDA back end for tests on a machine without a GPU.
import { ensureEmulator } from './lib/emulator.mjs';
import { alone } from './lib/lock.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(ensureEmulator));
