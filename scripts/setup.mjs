// `npm run setup` installs missing packages, builds the native addon and compiles TypeScript. It uses only modules of
// Node.
import { main, setup } from './lib/setup.mjs';

await main(setup);
