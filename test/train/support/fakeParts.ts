import type { Batch } from '../../../src/data/batches/batch.js';
import type { BatchPosition } from '../../../src/data/batches/batching.js';
import type { OpenedData, PretrainParts } from '../../../src/pretrain/parts.js';
import type { PretrainSource } from '../../../src/data/batches/pretrainSource.js';
import { FakeModel } from './fakeModel.js';
import type { FakeModelOptions } from './fakeModel.js';

export interface FakeDataOptions {
  readonly batchesPerEpoch?: number;
  readonly validBatches?: number;
  readonly answers?: readonly string[] | null;
  /** Number of global batches after which the data fail. */
  readonly failAfter?: number;
  readonly visualFeatDim?: number;
  /** The fake checksum of the training samples. */
  readonly samples?: string;
}

/** Two samples of three words and two objects; the words encode the position of the batch. */
export function fakeBatch(name: string, words: number): Batch {
  return {
    size: 2,
    firstSample: 0,
    sampleIds: [`${name}/a`, `${name}/b`],
    tokenIds: Int32Array.of(1, words, 2, 1, words + 1, 2),
    tokenOffsets: Int32Array.of(0, 3, 6),
    objectOffsets: Int32Array.of(0, 2, 4),
    visualFeats: Float32Array.from({ length: 12 }, (_, i) => i),
    visualPos: Float32Array.from({ length: 16 }, (_, i) => i / 16),
    maskedTokenRows: Int32Array.of(1, 4),
    maskedTokenLabels: Int32Array.of(words, words + 1),
    objectLabels: Int32Array.of(0, 1, 2, 3),
    objectConfs: Float32Array.of(0.5, 0.25, 0.125, 1),
    attributeLabels: Int32Array.of(3, 2, 1, 0),
    attributeConfs: Float32Array.of(1, 1, 1, 0.5),
    maskedObjectRows: Int32Array.of(3),
    featureTargets: Float32Array.of(7, 8, 9),
    matched: Int32Array.of(1, 0),
    answers: Int32Array.of(2, -1),
  };
}

export function fakeSource({
  batchesPerEpoch = 5,
  validBatches = 2,
  failAfter = Infinity,
}: FakeDataOptions = {}): PretrainSource {
  let served = 0;
  async function* valid(name: string): AsyncGenerator<Batch> {
    for (let i = 0; i < validBatches; i++) yield fakeBatch(`${name}${i}`, 100 + i);
  }
  return {
    batchesPerEpoch,
    async *train(from: BatchPosition) {
      for (let { epoch, batch } = from; ; epoch++, batch = 0)
        for (; batch < batchesPerEpoch; batch++) {
          if (served++ >= failAfter) throw new Error('the features were cut short');
          await new Promise((done) => setImmediate(done));
          const name = `${epoch}.${batch}`;
          const word = 17 * epoch + 5 * batch;
          yield { position: { epoch, batch }, parts: [fakeBatch(`${name}.0`, word), fakeBatch(`${name}.1`, word + 2)] };
        }
    },
    validate: () => valid('valid'),
    validateAnswers: () => valid('answers'),
    // A reader that still uses the batch gets wrong values.
    release: (batch) => void batch.tokenIds.fill(-1),
  };
}

export interface FakeOptions extends FakeModelOptions, FakeDataOptions {}

/** Parts of a run that need neither data nor addon, and a record of how they were used. */
export function fakeParts(options: FakeOptions = {}): PretrainParts & { readonly models: FakeModel[]; closed: number } {
  const parts = {
    models: [] as FakeModel[],
    closed: 0,
    async openData(): Promise<OpenedData> {
      const { answers = ['yes', 'no', 'two'], visualFeatDim = 3 } = options;
      return {
        facts: {
          vocabSize: 300,
          visualFeatDim,
          numObjectLabels: 4,
          numAttrLabels: 4,
          ...(answers ? { numQaLabels: answers.length } : {}),
        },
        source: fakeSource(options),
        answers: answers ?? undefined,
        ...(options.samples === undefined ? {} : { samples: options.samples }),
        async close() {
          parts.closed++;
        },
      };
    },
    async openModel() {
      const model = new FakeModel(options);
      parts.models.push(model);
      return model;
    },
  };
  return parts;
}
