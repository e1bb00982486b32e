// Tests what happens if the system refuses memory. The argument determines where; with `none`, the script prints how
// much memory this process uses without engines. Run it with a limit of address space (ulimit -v).
import { readFileSync } from 'node:fs';
import { addon, arena, enqueue, fill, none, tensor } from './addon.mjs';
import { mebibyte, report } from './process.mjs';

const outcome = async (call) => {
  try {
    await call();
    return 'done';
  } catch ({ code, message }) {
    return { code, message };
  }
};

const modes = {
  none: () => ({ kibibytes: Number(/VmPeak:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) }),

  async reserve() {
    const engine = addon.createEngine(1);
    addon.reserve(engine, arena.state, mebibyte);
    fill(engine, arena.state, 4, 3);
    const refused = await outcome(() => addon.reserve(engine, arena.state, 1024 * mebibyte));
    const [value] = await addon.read(engine, arena.state, 0, new Float32Array(4));
    return { refused, value };
  },

  /** Partial sums of 4 MiB for each of 1024 threads. */
  async kernel() {
    const engine = addon.createEngine(1024);
    const out = mebibyte;
    for (const number of [arena.parameters, arena.gradients]) addon.reserve(engine, number, 4 * out);
    addon.reserve(engine, arena.state, mebibyte);
    fill(engine, arena.state, 4, 3);
    const before = await outcome(() => addon.synchronize(engine));
    const [x, dWeight, dBias] = [arena.state, arena.gradients, arena.parameters].map((a) => tensor(a, 0, out));
    x[2] = 0;
    const noRows = [...none, 0, 0, 0];
    enqueue(engine, 'linearBackwardWeight', [...noRows, 1, out, 0, 0, ...x, ...x, ...dWeight, ...dBias]);
    fill(engine, arena.state, 4, 4);
    const target = new Float32Array(4).fill(-1);
    const read = await outcome(() => addon.read(engine, arena.state, 0, target));
    const upload = await outcome(() => addon.upload(engine, arena.state, 0, target));
    const synchronize = await outcome(() => addon.synchronize(engine));
    const dispose = await outcome(() => addon.dispose(engine));
    return { before, read, upload, synchronize, dispose, target: target[0] };
  },
};

report(await modes[process.argv[2]]());
