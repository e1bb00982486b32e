import { describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { fieldNames, fieldOf, type Batch, type FieldName } from '../../src/data/batches/batch.js';
import { capacitiesOf } from '../../src/step/capacities.js';
import { checkBatch } from '../../src/step/checkBatch.js';
import { stagedBytes, stageInto } from '../../src/step/staging.js';
import { randomBatch, residentBatches, smallConfig } from '../support/batches.js';

const config = smallConfig();
const featureDim = config.visualFeatDim;
const keys = { step: 7, seed: 3, learningRate: 0.5, lossScale: [1, 2] };
const make = (samples: number, seed: number) => benchBatch(config, { samples, tokens: [8, 16], objects: 6, seed });

describe('stageInto', () => {
  test('leaves no values of an earlier batch in reused memory', () => {
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

  const { plain, resident, table } = residentBatches([randomBatch(config, 1)], featureDim);
  const kinds: [string, Batch][] = [
    ['features with the batch', plain[0]],
    ['features on the device', resident[0]],
  ];
  /** Fields with whose lengths no other field is compared: without them, a batch has no rows. */
  const counting: readonly FieldName[] = ['tokenOffsets', 'objectOffsets', 'maskedTokenRows', 'maskedObjectRows'];

  test.each(kinds)('refuses a batch without one of its fields: %s', (_, batch) => {
    const capacities = capacitiesOf(batch);
    const buffer = new ArrayBuffer(stagedBytes(capacities, featureDim));
    const there = fieldNames.filter((name) => {
      const { features, only } = fieldOf(name);
      return (
        !counting.includes(name) &&
        only === undefined &&
        (features === undefined || (features === 'device') === capacities.resident)
      );
    });
    const ofFinetuning = fieldNames.filter((name) => fieldOf(name).only !== undefined);
    expect(there).toHaveLength(fieldNames.length - ofFinetuning.length - counting.length - 2);
    for (const name of there) {
      const without = { ...batch, [name]: undefined } as Batch;
      expect(() => stageInto(buffer, { batch: without, keys, capacities, featureDim })).toThrow(
        expect.objectContaining({ code: 'INTERNAL', message: `a batch has no ${name}` }),
      );
      // Without row numbers, the batch is taken for a batch that contains its features, and these are missing.
      const shown = name === 'residentRows' ? 'features of 0 floats an object' : name;
      const message = name === 'visualFeats' || name === 'featureTargets' ? 'features of 0 floats an object' : shown;
      expect(() => checkBatch(without, config, { tableRows: table.rows })).toThrow(
        expect.objectContaining({ code: 'BAD_DATA', message: expect.stringContaining(message) }),
      );
    }
  });

  test('a field with too few or too many values is refused', () => {
    for (const [, batch] of kinds)
      for (const name of fieldNames) {
        const values = batch[name];
        if (counting.includes(name) || values === undefined || values.length === 0) continue;
        const longer =
          fieldOf(name).type === 'i32' ? new Int32Array(values.length + 1) : new Float32Array(values.length + 1);
        for (const other of [values.subarray(1), longer])
          expect(() => checkBatch({ ...batch, [name]: other }, config, { tableRows: table.rows })).toThrow(
            expect.objectContaining({ code: 'BAD_DATA' }),
          );
        expect(() => checkBatch(batch, config, { tableRows: table.rows })).not.toThrow();
      }
  });
});
