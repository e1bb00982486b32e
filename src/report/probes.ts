import { openBatchMaker } from '../data/batches/batchMaker.js';
import type { Batch } from '../data/batches/batch.js';
import { allTasks, drawOtherImage, maskingRates } from '../data/batches/masking.js';
import type { PretrainData } from '../data/samples/pretrainData.js';
import { RandomStream } from '../data/random.js';
import type { Purpose } from '../data/random.js';
import { onlyLoss } from '../pretrain/losses.js';
import type { LossName } from '../pretrain/losses.js';
import type { Pretrainer } from '../pretrain/pretrainer.js';

/** What is hidden and swapped is drawn from it: the same for every model and every report. */
const SEED = 2 ** 41;
const BATCH = 256;

/** The sequence of random numbers of a sample, for one purpose. */
export type Draw = (sample: number, purpose: Purpose) => RandomStream;

export function reportDraws(): Draw {
  const random = new RandomStream(SEED);
  return (sample, purpose) => random.at(0, sample, purpose);
}

/** One thing to ask a model about every one of some samples. */
export interface Probe {
  readonly data: PretrainData;
  readonly samples: readonly number[];
  /** The head that answers. */
  readonly head: Exclude<LossName, 'feat'>;
  /**
   * Hides what is asked for in a batch that is whole, and says where the head's answers are: the row of each sample and
   * what would be right there.
   */
  readonly ask: (batch: Batch, samples: readonly number[]) => Asked;
}

export interface Asked {
  readonly batch: Batch;
  /** Rows of the head's predictions; [samples]. */
  readonly rows: ArrayLike<number>;
  /** [samples] */
  readonly right: ArrayLike<number>;
}

/** What the model said about each sample of a probe, and what is right. */
export interface Answers {
  readonly said: readonly number[];
  readonly right: readonly number[];
}

/** Asks a model, a batch of samples after the other, dropout off. */
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

/** Rows of a head that answers once a sample. */
const everySample = ({ size }: Batch): number[] => Array.from({ length: size }, (_, s) => s);

/**
 * A word of every sentence, hidden behind [MASK].
 * @param placeOf the place of the word within the sample's tokens
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

/** Class or attribute of one object of every picture, whose feature is hidden; its box and all else stay. */
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

/** Whether sentence and picture belong together; half of the sentences stand beside another's picture. */
export function matching(data: PretrainData, samples: readonly number[], draw: Draw): Probe {
  const swapped = withOtherPictures(data, draw, (sample) => draw(sample, 'matching').uniform() < 0.5);
  const ask = (batch: Batch, some: readonly number[]): Asked => {
    const matched = Int32Array.from(some, (sample) => (swapped.images[sample] === data.images[sample] ? 1 : 0));
    return { batch: { ...batch, matched }, rows: everySample(batch), right: matched };
  };
  return { data: swapped, samples, head: 'matched', ask };
}

/** The answers to questions. */
export function questions(data: PretrainData, samples: readonly number[]): Probe {
  const ask = (batch: Batch): Asked => ({ batch, rows: everySample(batch), right: batch.answers });
  return { data, samples, head: 'qa', ask };
}

/** The same sentences, those chosen beside a picture of another scene, drawn at random. */
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
