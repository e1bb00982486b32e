/**
 * Language and vision run in parallel lanes, in any order. They must give the same bits as if they ran one after the
 * other.
 */
import { afterEach, describe, expect, test } from '@jest/globals';
import { plainSum } from '../../src/pretrain/losses.js';
import { batches, disposeModels, emulated, open, train } from './training.js';
import { withEmulator } from '../support/emulator.js';

afterEach(disposeModels);

withEmulator(describe).each(['float32', 'bfloat16'] as const)('lanes in %s', (precision) => {
  const off = { ...emulated(precision), lanes: false };

  test.each([
    ['op by op', false],
    ['as a graph', true],
  ])('steps %s', async (_, recorded) => {
    const steps = batches(5, { samples: 5 }).map((batch) => ({ parts: [batch] }));
    const expected = await train(await open(off, recorded), steps);
    const got = await train(await open(emulated(precision), recorded), steps);
    expect(got.results).toEqual(expected.results);
    for (const [name, values] of expected.state) expect([name, got.state.get(name)]).toEqual([name, values]);
  });

  test.each([
    ['all losses', plainSum],
    ['losses of the language stream', { ...plainSum, obj: 0, attr: 0, feat: 0 }],
    ['losses of the vision stream', { ...plainSum, maskedLm: 0, matched: 0, qa: 0 }],
    ['answers alone', { ...plainSum, maskedLm: 0, matched: 0, obj: 0, attr: 0, feat: 0 }],
  ])('evaluation and gradients: %s', async (_, weights) => {
    const [batch] = batches(1, { samples: 7 });
    const options = { step: 1, learningRate: 1e-3, seed: 5, weights };
    const [plain, laned] = [await open(off, false), await open(emulated(precision), false)];
    expect(await laned.evaluate(batch, weights)).toEqual(await plain.evaluate(batch, weights));
    expect(await laned.gradients([batch], options)).toEqual(await plain.gradients([batch], options));
    for (const { name } of plain.parameters)
      expect([name, await laned.read('gradient', name)]).toEqual([name, await plain.read('gradient', name)]);
  });

  test('lanes need only a little more workspace', async () => {
    const [batch] = batches(1, { samples: 24 });
    const bytes = async (lanes: boolean): Promise<number> =>
      (await (await open({ ...emulated(precision), lanes }, true)).memoryFor([batch], plainSum)).workspace;
    const [without, within] = [await bytes(false), await bytes(true)];
    expect(within).toBeGreaterThan(without);
    // The workspace has the temporary tensors and gradients of both lanes at the same time, and little more.
    expect(within).toBeLessThan(1.5 * without);
  });
});
