import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { Engine } from '../../src/engine/index.js';
import { LxmertError } from '../../src/errors.js';
import { plainSum } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { randomBatch, residentBatches, smallConfig } from '../support/batches.js';
import { emulator } from '../support/emulator.js';

const config = smallConfig();
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const keys = { step: 0, learningRate: 1e-3, seed: 1, weights: plainSum };
/** All samples have the same size, so that the memory of a batch is proportional to the number of samples. */
const batchOf = (samples: number) => randomBatch(config, 4, { samples, tokens: [9, 9], objects: [7, 7] });

const devices = [
  { name: 'cpu', engine: { device: 'cpu', threads: 1 } as const },
  ...(emulator ? [{ name: 'emulated cuda', engine: { device: 'cuda', cudaLibrary: emulator } as const }] : []),
];

const sum = (memory: Readonly<Record<string, number>>): number => Object.values(memory).reduce((a, b) => a + b, 0);

/** From now on, the engine refuses to reserve more than this number of bytes. */
function limit(engine: Engine, bytes: number): void {
  const reserve = engine.reserve.bind(engine);
  jest.spyOn(engine, 'reserve').mockImplementation((arena, wanted) => {
    const all = sum({ ...engine.memory(), [arena]: wanted });
    if (all > bytes) throw new LxmertError('OUT_OF_MEMORY', `${all} bytes do not fit`);
    reserve(arena, wanted);
  });
}

describe.each(devices)('a batch that does not fit on $name', ({ engine }) => {
  const models: Pretrainer[] = [];
  afterEach(async () => {
    for (const model of models.splice(0)) await model.dispose();
  });
  const open = async (): Promise<Pretrainer> => {
    const model = new Pretrainer({ config, adam, engine });
    models.push(model);
    await model.initialize(3);
    return model;
  };

  test('the error gives the memory of each arena and the largest batch that fits, and that batch fits', async () => {
    const [measured, model] = [await open(), await open()];
    const enough = sum(await measured.memoryFor([batchOf(40)], plainSum));
    const needed = await measured.memoryFor([batchOf(100)], plainSum);
    limit(model.engine, enough);
    const error = await model.step([batchOf(100)], keys).then(
      () => null,
      (reason: unknown) => reason as LxmertError,
    );
    expect(error).toMatchObject({ code: 'OUT_OF_MEMORY' });
    const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toPrecision(3)} GiB`;
    const { parameters, gradients, state, inputs, workspace } = needed;
    const arenas = Object.entries({ parameters, gradients, state, inputs, workspace });
    expect(error!.message).toContain(arenas.map(([arena, bytes]) => `${arena} ${gibibytes(bytes)}`).join(', '));
    const most = Number(/that fits is (\d+)/.exec(error!.message)?.[1]);
    expect(most).toBeGreaterThanOrEqual(40);
    expect(sum(await measured.memoryFor([batchOf(most + 8)], plainSum))).toBeGreaterThan(enough);
    await expect(model.step([batchOf(most)], keys)).resolves.toMatchObject({ loss: expect.any(Number) });
  });

  test('the needed memory includes features on the device', async () => {
    const model = await open();
    const { resident, table } = residentBatches([batchOf(9)], config.visualFeatDim);
    await model.loadFeatures(table);
    limit(model.engine, sum(model.engine.memory()) + 1000);
    await expect(model.step(resident, keys)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/state \S+ GiB, features \S+ GiB, inputs \S+ GiB/),
    });
  });

  test('the error says so if not even one sample fits', async () => {
    const model = await open();
    limit(model.engine, sum(model.engine.memory()) + 1000);
    await expect(model.step([batchOf(9)], keys)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/^a batch of 9 samples does not fit.*Not even one such sample fits/),
    });
  });
});
