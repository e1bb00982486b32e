import { openBatchMaker } from '../data/batches/batchMaker.js';
import type { Batch } from '../data/batches/batch.js';
import { allTasks, drawOtherImage, maskingRates } from '../data/batches/masking.js';
import type { PretrainData } from '../data/samples/pretrainData.js';
import { RandomStream } from '../data/random.js';
import type { Purpose } from '../data/random.js';
import { onlyLoss } from '../pretrain/losses.js';
import type { LossName } from '../pretrain/losses.js';
import type { Pretrainer } from '../pretrain/pretrainer.js';

/** Seed for all values that are hidden or swapped. It is the same for every model and every report. */
const SEED = 2 ** 41;
const BATCH = 256;

/** The sequence of random numbers of a sample, for one purpose. */
export type Draw = (sample: number, purpose: Purpose) => RandomStream;

export function reportDraws(): Draw {
  const random = new RandomStream(SEED);
  return (sample, purpose) => random.at(0, sample, purpose);
}

/** One kind of question to a model, which is asked for each of some samples. */
export interface Probe {
  readonly data: PretrainData;
  readonly samples: readonly number[];
  /** The head that gives the answer. */
  readonly head: Exclude<LossName, 'feat'>;
  /**
   * Hides the values of a complete batch that the model must predict. Returns for each sample the row of the head's
   * prediction, and the right value.
   */
  readonly ask: (batch: Batch, samples: readonly number[]) => Asked;
}

export interface Asked {
  readonly batch: Batch;
  /** Rows of the head's predictions; [samples]. */
  readonly rows: ArrayLike<number>;
  /** The right values; [samples]. */
  readonly right: ArrayLike<number>;
}

/** The model's prediction for each sample of a probe, and the right value. */
export interface Answers {
  readonly said: readonly number[];
  readonly right: readonly number[];
}

/** Runs a probe on a model without dropout, one batch of samples after the other. */
export async function putTo(model: Pretrainer, { data, samples, head, ask }: Probe): Promise<Answers> {
  const weights = onlyLoss(head);
  const maker = openBatchMaker(data, { seed: 0, rates: maskingRates(), workers: 0 });
  const said: number[] = [];
  const right: number[] = [];
  try {
    for (let start = 0; start < samples.length; start += BATCH) {
      const some = samples.slice(start, start + BATCH);
      const job = { samples: Uint32Array.from(some), epoch: 0, firstSample: 0, tasks: allTasks, unmasked: true };
      const asked = ask(await maker.make(job), some);
      const predictions = await model.forward(asked.batch, weights, {
        use: async ({ predictions }) => model.engine.read(predictions[head]!),
      });
      for (let i = 0; i < some.length; i++) {
        said.push(predictions[asked.rows[i]]);
        right.push(asked.right[i]);
      }
    }
  } finally {
    await maker.close();
  }
  return { said, right };
}

/** The rows of predictions for a head with one row for each sample. */
const everySample = ({ size }: Batch): number[] => Array.from({ length: size }, (_, s) => s);

/**
 * Replaces one word of every sentence by [MASK].
 * @param placeOf returns the position of the word in the sample's tokens
 */
export function hiddenWords(
  data: PretrainData,
  samples: readonly number[],
  placeOf: (sample: number) => number,
): Probe {
  const ask = (batch: Batch, some: readonly number[]): Asked => {
    const rows = Int32Array.from(some, (sample, s) => batch.tokenOffsets[s] + placeOf(sample));
    const labels = Int32Array.from(rows, (row) => batch.tokenIds[row]);
    const tokenIds = batch.tokenIds.slice();
    for (const row of rows) tokenIds[row] = data.wordPiece.maskId;
    return {
      batch: { ...batch, tokenIds, maskedTokenRows: rows, maskedTokenLabels: labels },
      rows: everySample(batch),
      right: labels,
    };
  };
  return { data, samples, head: 'maskedLm', ask };
}

/**
 * Asks for the class or attribute of one object of every picture. Only the feature of this object is hidden.
 */
export function hiddenObjects(
  data: PretrainData,
  { samples, head, draw }: { readonly samples: readonly number[]; readonly head: 'obj' | 'attr'; readonly draw: Draw },
): Probe {
  const ask = (batch: Batch, some: readonly number[]): Asked => {
    const { objectOffsets: offsets } = batch;
    const rows = Int32Array.from(
      some,
      (sample, s) => offsets[s] + draw(sample, 'objects').below(offsets[s + 1] - offsets[s]),
    );
    const visualFeats = batch.visualFeats.slice();
    for (const row of rows) visualFeats.fill(0, row * data.featureDim, (row + 1) * data.featureDim);
    const labels = head === 'obj' ? batch.objectLabels : batch.attributeLabels;
    return { batch: { ...batch, visualFeats }, rows, right: Int32Array.from(rows, (row) => labels[row]) };
  };
  return { data, samples, head, ask };
}

/** Asks whether sentence and picture belong together. Half of the sentences have the picture of another sentence. */
export function matching(data: PretrainData, samples: readonly number[], draw: Draw): Probe {
  const swapped = withOtherPictures(data, draw, (sample) => draw(sample, 'matching').uniform() < 0.5);
  const ask = (batch: Batch, some: readonly number[]): Asked => {
    const matched = Int32Array.from(some, (sample) => (swapped.images[sample] === data.images[sample] ? 1 : 0));
    return { batch: { ...batch, matched }, rows: everySample(batch), right: matched };
  };
  return { data: swapped, samples, head: 'matched', ask };
}

/** Asks for the answers to questions. */
export function questions(data: PretrainData, samples: readonly number[]): Probe {
  const ask = (batch: Batch): Asked => ({ batch, rows: everySample(batch), right: batch.answers });
  return { data, samples, head: 'qa', ask };
}

/** The same data, but the chosen sentences have a random picture of another scene. */
export function withOtherPictures(
  data: PretrainData,
  draw: Draw,
  chosen: (sample: number) => boolean = () => true,
): PretrainData {
  const images = Int32Array.from(data.images, (image, sample) => {
    if (!chosen(sample)) return image;
    const other = drawOtherImage(draw(sample, 'order'), data, image);
    return other < 0 ? image : data.images[other];
  });
  return { ...data, images };
}
