import { describe, expect, test } from '@jest/globals';
import { HostSlots } from '../../src/step/hostSlots.js';

describe('HostSlots', () => {
  test('returns the same memory again, unless it is too small', async () => {
    const slots = new HostSlots({ hostMemory: (bytes) => new ArrayBuffer(bytes) });
    const first = await slots.take(0, 100);
    expect(await slots.take(1, 100)).not.toBe(first);
    expect(await slots.take(0, 50)).toBe(first);
    const larger = await slots.take(0, 101);
    expect(larger).not.toBe(first);
    expect(larger.byteLength).toBe(101);
  });

  test('waits until the data staged in a slot have been copied, or the copy has failed', async () => {
    const slots = new HostSlots({ hostMemory: (bytes) => new ArrayBuffer(bytes) });
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
