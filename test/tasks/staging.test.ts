import { describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { HostSlots } from '../../src/tasks/hostSlots.js';
import { capacitiesOf, stagedBytes, stageInto } from '../../src/tasks/staging.js';
import { smallConfig } from '../support/batches.js';

const config = smallConfig();
const featureDim = config.visualFeatDim;
const keys = { step: 7, seed: 3, learningRate: 0.5, lossScale: [1, 2] };
const make = (samples: number, seed: number) => benchBatch(config, { samples, tokens: [8, 16], objects: 6, seed });

describe('stageInto', () => {
  test('leaves nothing of an earlier batch in memory that is used again', () => {
    const [large, small] = [make(24, 1), make(5, 2)];
    const capacities = capacitiesOf(large);
    const bytes = stagedBytes(capacities, featureDim);
    const used = new SharedArrayBuffer(bytes + 64);
    stageInto(used, { batch: large, keys, capacities, featureDim });
    const again = stageInto(used, { batch: small, keys, capacities, featureDim });
    const fresh = stageInto(new SharedArrayBuffer(bytes), { batch: small, keys, capacities, featureDim });
    expect(again.byteLength).toBe(bytes);
    expect(Buffer.from(again).equals(Buffer.from(fresh))).toBe(true);
  });
});

describe('HostSlots', () => {
  test('gives the same memory again, unless it is too small', async () => {
    const slots = new HostSlots();
    const first = await slots.take(0, 100);
    expect(await slots.take(1, 100)).not.toBe(first);
    expect(await slots.take(0, 50)).toBe(first);
    const larger = await slots.take(0, 101);
    expect(larger).not.toBe(first);
    expect(larger.byteLength).toBe(101);
  });

  test('waits until what was staged there has been copied, or could not be', async () => {
    const slots = new HostSlots();
    const first = await slots.take(0, 8);
    let copied: () => void = () => undefined;
    slots.lend(0, new Promise<void>((resolve) => (copied = resolve)));
    const order: string[] = [];
    const next = slots.take(0, 8).then((buffer) => {
      order.push('taken');
      return buffer;
    });
    await slots.take(1, 8); // the other slot is free
    order.push('copied');
    copied();
    expect(await next).toBe(first);
    expect(order).toEqual(['copied', 'taken']);
    slots.lend(0, Promise.reject(new Error('the device is gone')));
    expect(await slots.take(0, 8)).toBe(first);
  });
});
