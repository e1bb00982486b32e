// Tests the engine on an emulated GPU that fails at its second launch after the probe. Argument: the emulator's library.
process.env.LXMERT_EMULATOR_BREAKS_AT = '3';
const { addon, arena, fill } = await import('./addon.mjs');
const { mebibyte, report } = await import('./process.mjs');

const codeOf = async (call) => {
  try {
    await call();
    return 'done';
  } catch ({ code }) {
    return code;
  }
};

const engine = addon.createEngine(1, 'float32', process.argv[2]);
addon.reserve(engine, arena.state, mebibyte);
fill(engine, arena.state, 4, 1);
const before = await codeOf(() => addon.synchronize(engine));
fill(engine, arena.state, 4, 2);
const after = await codeOf(() => addon.synchronize(engine));
const reserve = await codeOf(() => addon.reserve(engine, arena.inputs, mebibyte));
const dispose = await codeOf(() => addon.dispose(engine));
report({ before, after, reserve, dispose });
