import { LxmertError } from '../../errors.js';
import { isOutside } from '../features/boxes.js';
import { batchOf, type Batch } from './batch.js';

/** An image with a sentence, for inference or training. Nothing is masked or swapped. */
export interface Sample {
  /** The name of the sample in messages. */
  readonly id: string;
  /** WordPiece ids with [CLS] and [SEP], as `WordPiece.encode` gives them: [tokens]. */
  readonly tokenIds: ArrayLike<number>;
  /** RoI features, one object after the other: [objects × visualFeatDim]. */
  readonly features: Float32Array;
  /** x0, y0, x1, y1 as shares of the picture, 0 to 1 (up to 1e-5 outside is accepted as rounding): [objects × 4]. */
  readonly boxes: Float32Array;
  /** Row of the answer head with the right answer; absent if there is no answer. */
  readonly answer?: number;
  /** Whether sentence and image belong together; default true. */
  readonly matched?: boolean;
}

/**
 * Makes a batch from a caller's samples. Objects have no class and no attribute (confidence 0), so their losses are 0.
 * @throws LxmertError BAD_DATA naming the sample: for features of different widths, a box outside of the picture, or a
 *   token id or an answer that is no whole number; also if there are no samples
 */
export function packSamples(samples: readonly Sample[]): Batch {
  if (samples.length === 0) throw new LxmertError('BAD_DATA', 'a batch needs at least one sample');
  samples.forEach((sample) => checkSample(sample, widthOf(samples[0])));
  const objects = samples.map(({ boxes }) => boxes.length / 4);
  const objectOffsets = offsetsOf(objects);
  return batchOf({
    sampleIds: samples.map(({ id }) => id),
    tokenIds: Int32Array.from(samples.flatMap(({ tokenIds }) => Array.from(tokenIds))),
    tokenOffsets: offsetsOf(samples.map(({ tokenIds }) => tokenIds.length)),
    objectOffsets,
    visualFeats: joined(samples.map(({ features }) => features)),
    visualPos: joined(samples.map(({ boxes }) => boxes)),
    matched: Int32Array.from(samples, ({ matched = true }) => Number(matched)),
    answers: Int32Array.from(samples, ({ answer = -1 }) => answer),
  });
}

/** The samples of a batch without their labels. `packSamples` makes a batch from them again. The arrays are views. */
export function samplesOf(batch: Batch): Sample[] {
  const { sampleIds, tokenIds, tokenOffsets, objectOffsets, visualPos, visualFeats } = batch;
  const width = visualFeats.length / objectOffsets[batch.size];
  return sampleIds.map((id, s) => {
    const [first, end] = [objectOffsets[s], objectOffsets[s + 1]];
    return {
      id,
      tokenIds: tokenIds.subarray(tokenOffsets[s], tokenOffsets[s + 1]),
      features: visualFeats.subarray(first * width, end * width),
      boxes: visualPos.subarray(4 * first, 4 * end),
    };
  });
}

const widthOf = ({ features, boxes }: Sample): number => (4 * features.length) / boxes.length;

function checkSample(sample: Sample, width: number): void {
  const { id, tokenIds, features, boxes, answer = -1 } = sample;
  const bad = (what: string): LxmertError => new LxmertError('BAD_DATA', `sample ${id}: ${what}`);
  if (boxes.length === 0 || boxes.length % 4 !== 0)
    throw bad(`${boxes.length} numbers of boxes; expected x0, y0, x1, y1 of each object, one at least`);
  if (!Number.isInteger(width) || width < 1 || widthOf(sample) !== width)
    throw bad(
      `${features.length} numbers of features for ${boxes.length / 4} objects, ${widthOf(sample)} each; expected ` +
        'a whole number, the same for all samples',
    );
  const wordPiece = Array.from(tokenIds).find((token) => !isInt32(token, 0));
  if (wordPiece !== undefined) throw bad(`a token id is ${wordPiece}; expected whole numbers from 0`);
  if (!isInt32(answer, -1)) throw bad(`its answer is ${answer}; expected a row of the answer head, or -1 for none`);
  if (!features.every(Number.isFinite)) throw bad('a feature is not finite');
  const outside = boxes.find((value) => Number.isNaN(value) || isOutside(value));
  if (outside !== undefined) throw bad(`a box has ${outside}; expected shares of the picture from 0 to 1, not pixels`);
}

/** Whether a number is an integer of at least `least` that fits into 32 bits. */
const isInt32 = (value: number, least: number): boolean => Number.isInteger(value) && value >= least && value < 2 ** 31;

function offsetsOf(lengths: readonly number[]): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => (offsets[i + 1] = offsets[i] + length));
  return offsets;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
