// `node scripts/check-cuda-plugin.mjs` checks that the addon can load the CUDA back end, and that on a machine without a GPU the
// message names what is missing.
import { describeCuda, Engine } from '../dist/engine/index.js';
import { say } from './lib/process.mjs';

try {
  say(`cuda: ${describeCuda()}`);
} catch (error) {
  // The back end is loaded. Only a device is missing.
  if (error.code !== 'NO_DEVICE' || /not built|does not load|no back end|other sources/.test(error.message))
    throw error;
  say(`cuda: loads, and says: ${error.message}`);
}
const engine = Engine.create({ device: 'auto' });
say(`cuda: auto takes ${engine.device}`);
await engine.dispose();
