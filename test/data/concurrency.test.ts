import { expect, test } from '@jest/globals';
import { inGroups } from '../../src/data/concurrency.js';

test('does all work, and only some of it at a time', async () => {
  const begun: number[] = [];
  let at = 0;
  let most = 0;
  await inGroups(40, async (i) => {
    begun.push(i);
    most = Math.max(most, ++at);
    await new Promise((done) => setImmediate(done));
    at--;
  });
  expect(begun).toEqual(Array.from({ length: 40 }, (_, i) => i));
  expect(most).toBe(16);
});

test('rejects with the error of the first element, after all running work has ended', async () => {
  const ended: number[] = [];
  const work = async (i: number) => {
    // Work that begins later ends earlier.
    for (let turns = 0; turns < 40 - i; turns++) await new Promise((done) => setImmediate(done));
    ended.push(i);
    if (i % 10 === 5) throw new Error(`number ${i}`);
  };
  await expect(inGroups(40, work)).rejects.toThrow('number 5');
  expect(ended.sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
});
