import { lossNames } from './losses.js';
import type { LossName, LossWeights, Tallies, Tally } from './losses.js';
import type { Batch } from '../data/batches/batch.js';
import type { ValidRecord } from '../train/metrics.js';
import type { PretrainModel, PretrainSource } from '../train/ports.js';

export interface ValidationOptions {
  readonly weights: LossWeights;
  readonly signal?: AbortSignal | undefined;
  /** Batches done so far. */
  readonly progress?: ((batches: number) => void) | undefined;
}

/**
 * Loss and accuracies of the validation samples, dropout off. Masks and swaps are the same each time; QA accuracy is
 * that of the unswapped, unmasked samples, everything else that of the masked ones.
 * @returns undefined when the split is empty or the signal came
 */
export async function validate(
  model: PretrainModel,
  source: PretrainSource,
  { weights, signal, progress }: ValidationOptions,
): Promise<Pick<ValidRecord, 'loss' | 'losses' | 'accuracy'> | undefined> {
  let batches = 0;
  const count = () => progress?.(++batches);
  const masked = await tallyAll(model, source, source.validate(), weights, signal, count);
  if (!masked) return undefined;
  const onlyQa = Object.fromEntries(lossNames.map((name) => [name, name === 'qa' ? weights.qa : 0])) as LossWeights;
  const answered =
    weights.qa > 0 ? await tallyAll(model, source, source.validateAnswers(), onlyQa, signal, count) : undefined;
  if (signal?.aborted) return undefined;

  const { total, losses } = model.losses(masked, weights);
  const accuracies = lossNames.flatMap((name) => {
    if (weights[name] === 0) return [];
    const tally = name === 'qa' ? answered?.qa : masked[name];
    return tally && tally.labelled > 0 ? [[name, tally.correct / tally.labelled] as const] : [];
  });
  return { loss: total, losses, accuracy: Object.fromEntries(accuracies) };
}

/** Sums over all batches, in their order; the next batch is assembled while the device works on one. */
async function tallyAll(
  model: PretrainModel,
  source: PretrainSource,
  batches: AsyncIterable<Batch>,
  weights: LossWeights,
  signal: AbortSignal | undefined,
  done: () => void,
): Promise<Tallies | undefined> {
  let sum: Tallies | undefined;
  let pending: { readonly batch: Batch; readonly tallies: Promise<Tallies> } | undefined;
  const settle = async () => {
    if (!pending) return;
    const tallies = await pending.tallies;
    source.release(pending.batch);
    sum = sum ? addTallies(sum, tallies) : tallies;
    done();
  };
  for await (const batch of batches) {
    if (signal?.aborted) break;
    const tallies = model.evaluate(batch, weights);
    tallies.catch(() => undefined);
    await settle();
    pending = { batch, tallies };
  }
  await settle();
  return signal?.aborted ? undefined : sum;
}

function addTallies(a: Tallies, b: Tallies): Tallies {
  const add = (name: LossName): Tally => ({
    lossSum: a[name].lossSum + b[name].lossSum,
    count: a[name].count + b[name].count,
    correct: a[name].correct + b[name].correct,
    labelled: a[name].labelled + b[name].labelled,
  });
  return Object.fromEntries(lossNames.map((name) => [name, add(name)])) as Record<LossName, Tally>;
}
