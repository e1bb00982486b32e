// `npm run setup`: installs what is missing, builds the native addon, compiles TypeScript. Uses only what Node brings.
import { main, setup } from './lib/setup.mjs';

await main(setup);
