import { examplesOf, oneSample, type Batch } from '../data/batches/batch.js';
import type { LossWeights } from '../step/losses.js';
import type { Trainable } from './trainable.js';

/** Samples that are named in the message. */
const most = 3;

/**
 * Looks for where a step stopped being finite, sample by sample with dropout off.
 * @returns a sentence for the user, naming losses and samples
 */
export async function findNonFinite(
  model: Pick<Trainable, 'evaluate'>,
  parts: readonly Batch[],
  weights: LossWeights<string>,
): Promise<string> {
  const losses = new Set<string>();
  const samples: string[] = [];
  for (const part of parts) {
    for (let e = 0; e < examplesOf(part) && samples.length < most; e++) {
      const example = oneSample(part, e);
      const tallies = await model.evaluate(example, weights);
      const bad = Object.keys(weights).filter((name) => weights[name] > 0 && !Number.isFinite(tallies[name].lossSum));
      for (const name of bad) losses.add(name);
      if (bad.length > 0) samples.push(example.sampleIds[0]);
    }
  }
  const all = parts.flatMap(({ sampleIds }) => sampleIds);
  return samples.length > 0
    ? `the loss of ${[...losses].join(', ')} is not finite for ${samples.join(', ')}${samples.length === most ? ' (and maybe more)' : ''}`
    : `every loss is finite, the gradient is not; the batch was ${all.slice(0, most).join(', ')}${all.length > most ? ` and ${all.length - most} more samples` : ''}`;
}
