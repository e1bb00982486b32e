import { performance } from 'node:perf_hooks';
import { describe, expect, test } from '@jest/globals';
import { Engine } from '../../../src/engine/index.js';
import { randomBatch, smallConfig } from '../../support/batches.js';
import { firstGood } from '../../support/tries.js';
import { matrixProduct, newPretrainer, stepOptions } from './work.js';

/**
 * Largest share of time in which the event loop may be busy while the engine works. If the event loop waited for the
 * engine, the share would be 1.
 */
const free = 0.5;

/** The share of the time of `work` in which the event loop did not sleep. A call that waits counts as not sleeping. */
async function busyShare(work: () => Promise<unknown>): Promise<number> {
  const before = performance.eventLoopUtilization();
  await work();
  return performance.eventLoopUtilization(before).utilization;
}

describe('the event loop stays free', () => {
  test('while pre-training steps run', async () => {
    const config = smallConfig({
      hiddenSize: 256,
      numAttentionHeads: 8,
      intermediateSize: 1024,
      lLayers: 2,
      rLayers: 1,
      xLayers: 1,
    });
    const model = newPretrainer(config, 2);
    await model.initialize(1);
    const batch = randomBatch(config, 1, { samples: 64, tokens: [8, 20], objects: [36, 36] });
    let step = 0;
    await model.step([batch], stepOptions(step++));
    const share = await firstGood(
      () => busyShare(() => model.step([batch], stepOptions(step++))),
      (busy) => busy < free,
    );
    await model.dispose();
    expect(share).toBeLessThan(free);
  });

  test('while a long queue of ops runs; promises resolve in order', async () => {
    const engine = Engine.create({ device: 'cpu', threads: 2 });
    const product = matrixProduct(engine, 1024);
    product();
    await engine.synchronize();

    const products = Array.from({ length: 30 }, (_, i) => i);
    const queue = async (order: number[]): Promise<void> => {
      const promises = products.map((i) => {
        product();
        return engine.synchronize().then(() => order.push(i));
      });
      engine.reserve('inputs', 1 << 20);
      engine.reserve('state', 3 << 22);
      await Promise.all(promises);
    };
    const share = await firstGood(
      async () => {
        const order: number[] = [];
        const busy = await busyShare(() => queue(order));
        expect(order).toEqual(products);
        return busy;
      },
      (busy) => busy < free,
    );
    await engine.dispose();
    expect(share).toBeLessThan(free);
  });

  test('this test can fail: a blocked loop is measured', async () => {
    const share = await busyShare(async () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    });
    expect(share).toBeGreaterThan(free);
  });
});
