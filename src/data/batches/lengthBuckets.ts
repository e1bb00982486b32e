import { RandomStream } from '../random.js';
import type { SampleArrays } from '../samples/sampleStore.js';

export interface LengthBuckets {
  readonly seed: number;
  readonly epoch: number;
  /** Samples of a global batch. */
  readonly batchSize: number;
  /**
   * Number of global batches in a group. The samples of a group change places, so that each batch has samples of
   * similar lengths.
   */
  readonly batches: number;
}

/**
 * Returns an order of an epoch's samples in which the sentences of a batch have similar lengths. The given order is cut
 * into groups of some batches. Within a group the samples are sorted by length and cut into batches. The batches of a
 * group come in a random order. Within a batch the samples stay in the order of the epoch, so that no rank gets all the
 * short sentences. Samples after the last complete batch keep their places. The result depends only on the arguments,
 * so a resumed run and every rank get the same order.
 * @param order of all samples: [N]
 */
export function bucketOrder(
  order: Uint32Array,
  { tokenOffsets }: Pick<SampleArrays, 'tokenOffsets'>,
  { seed, epoch, batchSize, batches }: LengthBuckets,
): Uint32Array {
  const result = order.slice();
  const random = new RandomStream(seed).at(epoch, 0, 'buckets');
  const whole = Math.floor(order.length / batchSize);
  const lengthAt = (place: number): number => tokenOffsets[order[place] + 1] - tokenOffsets[order[place]];
  for (let first = 0; first < whole; first += batches) {
    const count = Math.min(batches, whole - first);
    const from = first * batchSize;
    const places = Uint32Array.from({ length: count * batchSize }, (_, i) => from + i);
    // Samples of one length stay in the order of the epoch.
    places.sort((a, b) => lengthAt(a) - lengthAt(b) || a - b);
    const turns = shuffled(count, random);
    for (let batch = 0; batch < count; batch++) {
      const taken = places.subarray(turns[batch] * batchSize, (turns[batch] + 1) * batchSize).sort();
      for (let i = 0; i < batchSize; i++) result[from + batch * batchSize + i] = order[taken[i]];
    }
  }
  return result;
}

/** A random order of 0 … count - 1. */
function shuffled(count: number, random: RandomStream): Uint32Array {
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const j = random.below(i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}
