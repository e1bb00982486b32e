/** Compares the typed call and its backward pass on a tape with differences of the loss that the device computes. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  fill,
  linear,
  sigmoidCrossEntropy,
  stepRecordWords,
  Tape,
  type Engine,
  type Parameter,
  type Rows,
} from '../../../src/engine/index.js';
import { backends } from '../support/backends.js';
import { dot } from '../support/finiteDifference.js';
import { Rng } from '../support/rng.js';
import { recordOf } from '../support/world.js';

/** Three questions with a capacity of four; six answers in rows of eight columns. */
const [samples, capacity, features, classes, width] = [3, 4, 5, 6, 8];
const lossScale = 0.25;
/** Question 0 has two right answers, question 1 has none, and question 2 has one that occurs twice. */
const soft = {
  offsets: Int32Array.of(0, 2, 2, 4, 4),
  ids: Int32Array.of(5, 1, 3, 3, 0, 0),
  scores: Float32Array.of(1, 0.3, 0.3, 0.6, 1, 1),
};

describe.each(backends.filter(({ precision }) => precision === 'float32'))('$name', ({ open }) => {
  let engine: Engine;
  beforeAll(() => {
    engine = open();
    for (const arena of ['parameters', 'gradients', 'state', 'inputs', 'workspace'] as const)
      engine.reserve(arena, 1 << 14);
  });
  afterAll(() => engine.dispose());

  test('sigmoid cross-entropy: the gradient of a weight is the slope of the loss, and the tally has loss, scores and rows', async () => {
    const rng = new Rng(17);
    const record = engine.tensor('inputs', 0, [stepRecordWords], 'i32');
    const x = engine.tensor('inputs', 256, [capacity, features]);
    const offsets = engine.tensor('inputs', 512, [capacity + 1], 'i32');
    const ids = engine.tensor('inputs', 768, [soft.ids.length], 'i32');
    const scores = engine.tensor('inputs', 1024, [soft.scores.length]);
    const tally = engine.tensor('state', 0, [4]);
    const weight: Parameter = {
      name: 'weight',
      tensor: engine.tensor('parameters', 0, [width, features]),
      gradient: engine.tensor('gradients', 0, [width, features]),
    };
    const rows: Rows = { set: 'samples', capacity, split: 0, record };
    const values = Float32Array.from(rng.floats(capacity * features), (v, i) => (i < samples * features ? v : 0));
    const weights = rng.floats(width * features);
    await engine.upload(record, recordOf({ samples, lossScale: [0, lossScale] }).values);
    await engine.upload(x, values);
    await engine.upload(offsets, soft.offsets);
    await engine.upload(ids, soft.ids);
    await engine.upload(scores, soft.scores);

    const run = async (at: Float32Array, training: boolean) => {
      await engine.upload(weight.tensor, at);
      engine.workspace.reset(1 << 14);
      fill(engine, tally, 0);
      const tape = new Tape(engine, { training });
      const logits = linear(tape, rows, x, { weight });
      const predictions = sigmoidCrossEntropy(
        tape,
        rows,
        logits,
        { offsets, ids, scores, classes },
        { tally, slot: 1 },
      );
      const given = await engine.read(predictions);
      tape.backward();
      return { given, sums: await engine.read(tally), gradient: await engine.read(weight.gradient) };
    };

    const { given, sums, gradient } = await run(weights, true);
    const logitOf = (row: number, c: number): number =>
      dot(values.subarray(row * features, (row + 1) * features), weights.subarray(c * features, (c + 1) * features));
    const best = [0, 1, 2].map((row) => {
      const logits = Array.from({ length: classes }, (_, c) => logitOf(row, c));
      return logits.indexOf(Math.max(...logits));
    });
    expect([...given]).toEqual([...best, 0]);
    const scoreOf = (row: number): number => {
      let score = 0;
      for (let i = soft.offsets[row]; i < soft.offsets[row + 1]; i++)
        if (soft.ids[i] === best[row]) score += soft.scores[i];
      return score;
    };
    expect(sums[1]).toBeCloseTo(scoreOf(0) + scoreOf(1) + scoreOf(2), 6);
    expect(sums[2]).toBe(samples);

    const step = 1e-2;
    for (let i = 0; i < weights.length; i++) {
      const lossAt = async (delta: number): Promise<number> => {
        const { sums } = await run(weights.with(i, weights[i] + delta), false);
        return sums[0];
      };
      const slope = (lossScale * ((await lossAt(step)) - (await lossAt(-step)))) / (2 * step);
      expect(Math.abs(gradient[i] - slope)).toBeLessThan(1e-4);
    }
    // Columns after the classes are not answers.
    expect([...gradient.subarray(classes * features)]).toEqual(new Array((width - classes) * features).fill(0));
  });
});
