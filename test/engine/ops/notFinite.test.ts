/** A step that is not finite does not change weights and moments. The device checks the gradient and the losses. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  adamUpdate,
  fill,
  gradNorm,
  linear,
  smoothL1,
  stepRecordWords,
  Tape,
  type Engine,
  type Parameter,
  type Rows,
} from '../../../src/engine/index.js';
import { backends } from '../support/backends.js';
import { Rng } from '../support/rng.js';
import { recordOf } from '../support/world.js';

const [capacity, width] = [4, 8];
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };

describe.each(backends)('$name', ({ open }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    for (const arena of ['parameters', 'gradients', 'state', 'inputs', 'workspace'] as const)
      engine.reserve(arena, 1 << 14);
  });
  afterAll(() => engine.dispose());

  /** One step of a linear layer with smooth L1, with `value` as all targets. */
  async function stepTowards(value: number) {
    const whole = [width * width];
    const record = engine.tensor('inputs', 0, [stepRecordWords], 'i32');
    const x = engine.tensor('inputs', 256, [capacity, width]);
    const wanted = engine.tensor('inputs', 1024, [capacity, width]);
    const chunks = engine.tensor('inputs', 2048, [1, 2], 'i32');
    const weight: Parameter = {
      name: 'weight',
      tensor: engine.tensor('parameters', 0, [width, width]),
      gradient: engine.tensor('gradients', 0, [width, width]),
    };
    // There is one loss before it and one loss after it; both stay 0.
    const tallies = engine.tensor('state', 0, [3, 4]);
    const tally = engine.tensor('state', 16, [4]);
    const optimizer = {
      chunks,
      partial: engine.tensor('state', 256, [1]),
      norm: engine.tensor('state', 48, [2]),
      sums: tallies,
      parameters: engine.tensor('parameters', 0, whole),
      gradients: engine.tensor('gradients', 0, whole),
      firstMoment: engine.tensor('state', 1024, whole),
      secondMoment: engine.tensor('state', 2048, whole),
    };
    const rows: Rows = { set: 'all', capacity, split: 0, record };
    const rng = new Rng(3);
    const before = rng.floats(width * width);
    await engine.upload(record, recordOf({ learningRate: 0.1, lossScale: [0, 1] }).values);
    await engine.upload(x, rng.floats(capacity * width));
    await engine.upload(wanted, new Float32Array(capacity * width).fill(value));
    await engine.upload(chunks, Int32Array.of(0, width * width));
    await engine.upload(weight.tensor, before);
    for (const tensor of [tallies, optimizer.firstMoment, optimizer.secondMoment]) fill(engine, tensor, 0);
    engine.resetWorkspace();
    const tape = new Tape(engine, { training: true });
    smoothL1(tape, rows, linear(tape, rows, x, { weight }), wanted, { tally, slot: 1 });
    tape.backward();
    gradNorm(engine, optimizer);
    adamUpdate(engine, optimizer, record, adam);
    const [loss] = await engine.readFloats(tally);
    const [norm, notFinite] = await engine.readFloats(optimizer.norm);
    const moments = [await engine.readFloats(optimizer.firstMoment), await engine.readFloats(optimizer.secondMoment)];
    return { loss, norm, notFinite, before, after: await engine.readFloats(weight.tensor), moments };
  }

  test('a finite step updates', async () => {
    const { notFinite, before, after } = await stepTowards(5);
    expect(notFinite).toBe(0);
    expect(after).not.toEqual(before);
  });

  test('an infinite loss whose gradient is finite changes nothing', async () => {
    const { loss, norm, notFinite, before, after, moments } = await stepTowards(3e38);
    expect(loss).toBe(Infinity);
    expect(Number.isFinite(norm)).toBe(true);
    expect(notFinite).toBe(1);
    expect(after).toEqual(before);
    for (const moment of moments) expect(moment).toEqual(new Float32Array(width * width));
  });
});

describe.each(backends)('$name: a dropout probability', ({ open, dtype }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    engine.reserve('state', 1 << 14);
  });
  afterAll(() => engine.dispose());

  /** The output of layer norm for ones with dropout `p`. */
  async function droppedOnes(p: number): Promise<Float32Array> {
    const at = (offset: number, shape: number[], type: 'f32' | 'i32' | 'bf16') =>
      engine.tensor('state', offset, shape, type);
    const record = at(0, [stepRecordWords], 'i32');
    await engine.upload(record, recordOf({ seed: 1, step: 2, languageRows: 1 }).values);
    const rows: Rows = { set: 'language', capacity: 1, split: 0, record };
    const z = at(256, [1, 64], dtype);
    fill(engine, z, 1);
    const dropout = { p, instance: 0, rowIds: at(1024, [1, 2], 'i32') };
    const [gamma, beta, out, stats] = [
      at(2048, [64], 'f32'),
      at(3072, [64], 'f32'),
      at(4096, [1, 64], dtype),
      at(5120, [1, 2], 'f32'),
    ];
    engine.run('layerNormForward', [rows, 64, 1, dropout, z, null, gamma, beta, out, stats]);
    return engine.readFloats(z);
  }

  test.each([0.99999999, 1 - 2 ** -25, 1, NaN])(
    '%p is refused: float32 rounds it to 1, or it is not a probability',
    async (p) => {
      const refused = { code: 'BAD_ARGUMENT', message: expect.stringContaining('that float32 does not round to 1') };
      await expect(droppedOnes(p)).rejects.toMatchObject(refused);
    },
  );

  test('the largest p below 1 in float32 drops nearly all elements, and the kept elements are finite', async () => {
    const left = await droppedOnes(1 - 2 ** -24);
    expect(left.filter((x) => x !== 0 && x !== 2 ** 24)).toEqual(new Float32Array(0));
  });
});
