import { examplesOf, oneSample, type Batch } from '../data/batches/batch.js';
import type { LossWeights } from '../step/losses.js';
import type { Trainable } from './trainable.js';

/** The largest number of samples that the message names. */
const most = 3;

/** The result of the search, as a text for the user. */
export interface NonFinite {
  readonly text: string;
  /** Whether the text names a loss and its samples. */
  readonly isLoss: boolean;
}

/**
 * Evaluates the samples of a step one at a time, without dropout, to find those whose loss is not finite.
 */
export async function findNonFinite(
  model: Pick<Trainable, 'evaluate'>,
  parts: readonly Batch[],
  weights: LossWeights<string>,
): Promise<NonFinite> {
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
  const text =
    samples.length > 0
      ? `the loss of ${[...losses].join(', ')} is not finite for ${samples.join(', ')}${samples.length === most ? ' (and maybe more)' : ''}`
      : `every loss is finite, but the gradient is not; the batch was ${all.slice(0, most).join(', ')}${all.length > most ? ` and ${all.length - most} more samples` : ''}`;
  return { text, isLoss: samples.length > 0 };
}
