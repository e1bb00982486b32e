// Runs ops on the emulator. For each op it prints the number of launches by src/bench/launches.ts, and the launches that the
// emulator recorded (LXMERT_EMULATOR_TRACE): [{ op, shape, expected, given }]. The argument is the precision.
import { readFileSync } from 'node:fs';
import { benchConfig } from '../../../dist/bench/config.js';
import { batchKernels, parameterKernels } from '../../../dist/bench/kernelCalls.js';
import { launchesOf } from '../../../dist/bench/launches.js';
import { stageChunks, stageKernels } from '../../../dist/bench/stagedKernels.js';
import { allRows, Engine } from '../../../dist/engine/index.js';

const parameters = 2 ** 16;
const config = benchConfig('tiny', [1, 1, 1]);

/** Products of float32 features, without bias and without unused rows. */
const products = ['Forward', 'BackwardWeight'].map((name) => ({
  op: `linear${name}`,
  shape: 'all rows of float32, no bias',
  args: (s) => {
    const operands = name === 'Forward' ? [s.weights(32, 16), null, s.values(64, 32)] : [];
    const gradients = name === 'Forward' ? [] : [s.values(64, 32), s.floats(32, 16), null];
    const flags = name === 'Forward' ? [] : [false, false];
    return [allRows(64), 16, 32, ...flags, s.floats(64, 16), ...operands, ...gradients];
  },
}));

const given = () => readFileSync(process.env.LXMERT_EMULATOR_TRACE, 'utf8').split('\n').filter(Boolean);

const engine = Engine.create({ device: 'cuda', precision: process.argv[2] });
const chunks = await stageChunks(engine, parameters);
const staged = await stageKernels(engine, { config, tokens: [4, 8], objects: 5 }, 3, chunks);
const results = [];
for (const kernel of [...batchKernels(config), ...products, ...parameterKernels(parameters)]) {
  const args = staged.argsOf(kernel);
  await engine.synchronize();
  const before = given().length;
  engine.run(kernel.op, args);
  await engine.synchronize();
  const expected = launchesOf(kernel.op, args, engine.activationDType);
  results.push({ op: kernel.op, shape: kernel.shape, expected, given: given().slice(before) });
}
await engine.dispose();
console.log(JSON.stringify(results));
