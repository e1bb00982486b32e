import type { Batch } from '../data/batches/batch.js';
import { lossNames } from '../pretrain/losses.js';
import type { LossWeights } from '../pretrain/losses.js';
import type { PretrainModel } from './ports.js';

/** Samples that are named in the message. */
const most = 3;

/**
 * Looks for where a step stopped being finite, sample by sample with dropout off.
 * @returns a sentence for the user, naming losses and samples
 */
export async function findNonFinite(
  model: PretrainModel,
  parts: readonly Batch[],
  weights: LossWeights,
): Promise<string> {
  const losses = new Set<string>();
  const samples: string[] = [];
  for (const part of parts) {
    for (let sample = 0; sample < part.size && samples.length < most; sample++) {
      const tallies = await model.evaluate(oneSample(part, sample), weights);
      const bad = lossNames.filter((name) => weights[name] > 0 && !Number.isFinite(tallies[name].lossSum));
      for (const name of bad) losses.add(name);
      if (bad.length > 0) samples.push(part.sampleIds[sample]);
    }
  }
  const all = parts.flatMap(({ sampleIds }) => sampleIds);
  return samples.length > 0
    ? `the loss of ${[...losses].join(', ')} is not finite for ${samples.join(', ')}${samples.length === most ? ' (and maybe more)' : ''}`
    : `every loss is finite, the gradient is not; the batch was ${all.slice(0, most).join(', ')}${all.length > most ? ` and ${all.length - most} more samples` : ''}`;
}

/** Sample `s` of a batch as a batch of its own. */
export function oneSample(batch: Batch, s: number): Batch {
  const [token, tokenEnd] = [batch.tokenOffsets[s], batch.tokenOffsets[s + 1]];
  const [object, objectEnd] = [batch.objectOffsets[s], batch.objectOffsets[s + 1]];
  const featDim = batch.visualFeats.length / batch.objectOffsets[batch.size];
  const words = range(batch.maskedTokens.rows, token, tokenEnd);
  const objects = range(batch.maskedObjects.rows, object, objectEnd);
  const labelled = ({ labels, confs }: Batch['objects']) => ({
    labels: labels.slice(object, objectEnd),
    confs: confs.slice(object, objectEnd),
  });
  return {
    size: 1,
    firstSample: batch.firstSample + s,
    sampleIds: [batch.sampleIds[s]],
    tokenIds: batch.tokenIds.slice(token, tokenEnd),
    tokenOffsets: Int32Array.of(0, tokenEnd - token),
    objectOffsets: Int32Array.of(0, objectEnd - object),
    visualFeats: batch.visualFeats.slice(object * featDim, objectEnd * featDim),
    visualPos: batch.visualPos.slice(object * 4, objectEnd * 4),
    maskedTokens: {
      rows: batch.maskedTokens.rows.slice(...words).map((row) => row - token),
      labels: batch.maskedTokens.labels.slice(...words),
    },
    objects: labelled(batch.objects),
    attributes: labelled(batch.attributes),
    maskedObjects: {
      rows: batch.maskedObjects.rows.slice(...objects).map((row) => row - object),
      targets: batch.maskedObjects.targets.slice(objects[0] * featDim, objects[1] * featDim),
    },
    ...(batch.resident && {
      resident: {
        rows: batch.resident.rows.slice(object, objectEnd),
        targets: batch.resident.targets.slice(...objects),
      },
    }),
    matched: batch.matched.slice(s, s + 1),
    answers: batch.answers.slice(s, s + 1),
  };
}

/** Positions in ascending `rows` of those in [from, to). */
function range(rows: Int32Array, from: number, to: number): [number, number] {
  const first = rows.findIndex((row) => row >= from);
  const begin = first < 0 ? rows.length : first;
  const after = rows.findIndex((row) => row >= to);
  return [begin, after < 0 ? rows.length : after];
}
