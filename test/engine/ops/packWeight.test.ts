/** Products, reads and uploads of packed weights. */
import { describe, expect, test } from '@jest/globals';
import { allRows, Engine, packWeight, type Precision, type Tensor } from '../../../src/engine/index.js';
import { plainSum } from '../../../src/pretrain/losses.js';
import { Pretrainer } from '../../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../../support/batches.js';
import { cpuMultipliesBFloat16, tolerances } from '../support/backends.js';
import { distance } from '../support/finiteDifference.js';
import { Rng } from '../support/rng.js';

const precisions: readonly Precision[] = cpuMultipliesBFloat16 ? ['float32', 'bfloat16'] : ['float32'];
const [rows, width, out] = [21, 96, 192];

/** x [rows, width], weight [out, width], bias [out], y [rows, out], dy, dx, one after the other in an arena. */
function world(engine: Engine) {
  let end = 0;
  engine.reserve('inputs', 1 << 20);
  const place = (shape: readonly number[]): Tensor => {
    const tensor = engine.tensor('inputs', end, shape);
    end += 64 * Math.ceil((4 * shape.reduce((a, b) => a * b)) / 64);
    return tensor;
  };
  const tensors = {
    ...{ x: place([rows, width]), weight: place([out, width]), bias: place([out]), y: place([rows, out]) },
    ...{ dy: place([rows, out]), dx: place([rows, width]) },
  };
  const all = allRows(rows);
  return {
    ...tensors,
    /** x W^T + b with rows [from, from + count) of the weight. */
    forward: async (from = 0, count = out): Promise<Float32Array> => {
      const part = (tensor: Tensor, shape: readonly number[], each: number): Tensor =>
        engine.tensor('inputs', tensor.offset + 4 * from * each, shape);
      const weight = part(tensors.weight, [count, width], width);
      const y = { ...tensors.y, shape: [rows, count] };
      engine.run('linearForward', [all, width, count, tensors.x, weight, part(tensors.bias, [count], 1), y]);
      return (await engine.readFloats(y)).slice();
    },
    backward: async (): Promise<Float32Array> => {
      engine.run('linearBackwardInput', [all, width, out, false, tensors.dy, tensors.weight, tensors.dx]);
      return (await engine.readFloats(tensors.dx)).slice();
    },
  };
}

describe.each(precisions)('%s', (precision) => {
  const near = (a: Float32Array, b: Float32Array): void => expect(distance(a, b)).toBeLessThan(tolerances.float32 / 10);

  test('products are as before, with the whole weight and with parts of it; reads and uploads see plain values', async () => {
    await using engine = Engine.create({ device: 'cpu', precision, threads: 2 });
    const { x, weight, bias, dy, forward, backward } = world(engine);
    const rng = new Rng(1);
    const values = rng.floats(out * width, 0.3);
    for (const tensor of [x, bias, dy]) await engine.upload(tensor, rng.floats(tensor.shape.reduce((a, b) => a * b)));
    await engine.upload(weight, values);
    const parts = [
      [0, out],
      [64, 128],
      [128, 64],
      [10, 64], // not whole blocks: the weight becomes plain again
    ] as const;
    const before = [];
    for (const part of parts) before.push(await forward(...part));
    const gradient = await backward();

    packWeight(engine, weight);
    near(await backward(), gradient);
    for (const [i, part] of parts.entries()) near(await forward(...part), before[i]);
    near(await backward(), gradient);

    packWeight(engine, weight);
    packWeight(engine, weight);
    const plain = (await engine.readFloats(weight)).slice();
    expect(distance(plain, values)).toBeLessThan(precision === 'float32' ? 1e-30 : tolerances.bfloat16);
    near(await forward(), before[0]);

    packWeight(engine, weight);
    const others = rng.floats(out * width, 0.3);
    await engine.upload(weight, others);
    const expected = await forward();
    packWeight(engine, weight);
    near(await forward(), expected);
  });

  test('a packed model gives the same outputs, its weights can be read, and it cannot be trained', async () => {
    const config = smallConfig({ hiddenSize: 192, intermediateSize: 128 });
    const batch = randomBatch(config, 8, { samples: 6 });
    const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0, maxGradNorm: 0 };
    await using model = await opened(
      new Pretrainer({ config, adam, engine: { device: 'cpu', precision, threads: 2 } }),
    );
    const losses = () => model.evaluate(batch, plainSum);
    const before = await losses();
    const name = 'lxmert.encoder.layer.0.attention.self.key.weight';
    const weight = (await model.read('parameter', name)).slice();
    await model.packWeights();
    const after = await losses();
    for (const [loss, { lossSum }] of Object.entries(before))
      expect(after[loss as keyof typeof after].lossSum / lossSum).toBeCloseTo(1, precision === 'float32' ? 5 : 2);
    await expect(
      model.step([batch], { step: 1, seed: 1, learningRate: 1e-4, weights: plainSum }),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('packWeights') });
    await expect(model.initialize(2)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(distance(await model.read('parameter', name), weight)).toBeLessThan(
      precision === 'float32' ? 1e-30 : tolerances.bfloat16,
    );
    expect((await losses()).maskedLm).toBeDefined();
  });
});

async function opened(model: Pretrainer) {
  await model.initialize(3);
  return Object.assign(model, { [Symbol.asyncDispose]: () => model.dispose() });
}

test('many engines may pack weights one after the other: memory of a closed engine is forgotten', async () => {
  for (let i = 0; i < 5; i++) {
    await using engine = Engine.create({ device: 'cpu', threads: 1 });
    const { x, weight, bias, forward } = world(engine);
    const rng = new Rng(i);
    for (const tensor of [x, weight, bias])
      await engine.upload(tensor, rng.floats(tensor.shape.reduce((a, b) => a * b)));
    const before = await forward();
    packWeight(engine, weight);
    expect(distance(await forward(), before)).toBeLessThan(tolerances.float32);
  }
});
