import { describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { pretrainFlops, rowCounts } from '../../src/bench/flops.js';
import { stepFloors, type FloorsReport } from '../../src/bench/floors.js';
import { WorkByOp, workOf } from '../../src/bench/opWork.js';
import { adam, learningRate, seed } from '../../src/bench/recipe.js';
import { floorsLines } from '../../src/cli/benchTables.js';
import { plainSum } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { smallConfig } from '../support/batches.js';
import { emulator } from '../support/emulator.js';

const config = smallConfig({ hiddenDropoutProb: 0.1, attentionProbsDropoutProb: 0.1 });
const sizes = { config, batch: 6, tokens: [4, 8], objects: 5 } as const;
const rates = { sgemmGflops: 1000, copyGigabytesPerSecond: 100 };

describe('the floors of a step', () => {
  const devices = [
    { device: 'cpu', precision: 'float32' },
    ...(emulator ? [{ device: 'cuda', precision: 'bfloat16', cudaLibrary: emulator } as const] : []),
  ] as const;

  test.each(devices)('are computed from the op calls of a real step on $device in $precision', async (engine) => {
    const batch = benchBatch(config, { samples: sizes.batch, ...sizes, seed });
    const model = new Pretrainer({ config, adam, engine });
    await model.initialize(1);
    const real = new WorkByOp();
    model.engine.observer = (op, args) =>
      real.add(op, workOf(op, args, rowCounts(batch), model.engine.activationDType));
    await model.step([batch], { step: 0, learningRate, seed, weights: plainSum });
    await model.dispose();
    const { ops } = await stepFloors({ ...sizes, rates, precision: engine.precision, device: engine.device });
    expect(ops.map(({ op }) => op).sort()).toEqual([...real.ops].sort());
    for (const { op, calls, flops, bytes } of ops) expect({ op, calls, flops, bytes }).toEqual({ op, ...real.of(op) });
  });

  test('are computed from FLOPs, bytes and rates', async () => {
    const report: FloorsReport = await stepFloors({ ...sizes, rates });
    const batch = benchBatch(config, { samples: sizes.batch, ...sizes, seed });
    expect(report.total.flops / pretrainFlops(config, rowCounts(batch))).toBeCloseTo(1, 1);
    const adamUpdate = report.ops.find(({ op }) => op === 'adamUpdate')!;
    // 30 bytes a parameter: three numbers read and written, the gradient, and a bfloat16 copy.
    expect(adamUpdate.bytes / adamUpdate.milliseconds).toBeCloseTo(rates.copyGigabytesPerSecond * 1e6, -3);
    const plain = await stepFloors({ ...sizes, rates, precision: 'float32' });
    expect(adamUpdate.bytes / plain.ops.find(({ op }) => op === 'adamUpdate')!.bytes).toBeCloseTo(30 / 28, 2);
    expect(report.total.bytes).toBeLessThan(plain.total.bytes);
    expect(report.total.calls).toBe(plain.total.calls);
    expect(floorsLines(report)).toHaveLength(report.ops.length + 5);
  });
});
