import type { Batch } from '../../../src/data/batches/batch.js';

/** The values of one sample of a batch, with row numbers relative to the sample. */
export function sampleOf(batch: Batch, s: number) {
  const width = batch.visualFeats.length / batch.objectOffsets[batch.size];
  const [t0, t1] = [batch.tokenOffsets[s], batch.tokenOffsets[s + 1]];
  const [o0, o1] = [batch.objectOffsets[s], batch.objectOffsets[s + 1]];
  const within = (rows: Int32Array, from: number, to: number) =>
    [...rows.keys()].filter((i) => rows[i] >= from && rows[i] < to);
  const words = within(batch.maskedTokenRows, t0, t1);
  const objects = within(batch.maskedObjectRows, o0, o1);
  return {
    id: batch.sampleIds[s],
    tokens: [...batch.tokenIds.subarray(t0, t1)],
    features: [...batch.visualFeats.subarray(o0 * width, o1 * width)],
    boxes: [...batch.visualPos.subarray(o0 * 4, o1 * 4)],
    wordRows: words.map((i) => batch.maskedTokenRows[i] - t0),
    wordLabels: words.map((i) => batch.maskedTokenLabels[i]),
    objectRows: objects.map((i) => batch.maskedObjectRows[i] - o0),
    targets: objects.map((i) => [...batch.featureTargets.subarray(i * width, (i + 1) * width)]),
    objects: [...batch.objectLabels.subarray(o0, o1), ...batch.objectConfs.subarray(o0, o1)],
    attributes: [...batch.attributeLabels.subarray(o0, o1), ...batch.attributeConfs.subarray(o0, o1)],
    matched: batch.matched[s],
    answer: batch.answers[s],
  };
}

export const samplesOf = (batch: Batch) => Array.from({ length: batch.size }, (_, s) => sampleOf(batch, s));
