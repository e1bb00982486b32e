import { lossNames, type LossName } from '../config/tasks.js';
import type { Batch } from '../data/batches/batch.js';
import type { PretrainSource } from '../data/batches/pretrainSource.js';
import { addTallies, lossesOn } from '../step/losses.js';
import type { Validation, ValidationControls } from '../train/index.js';
import { recordOf } from '../records.js';
import type { LossWeights, Tallies } from './losses.js';
import type { PretrainModel } from './parts.js';

/**
 * Loss and accuracies of the validation samples, dropout off. Masks and swaps are the same each time; QA accuracy is
 * that of the unswapped, unmasked samples, everything else that of the masked ones.
 * @returns undefined when the split is empty or the signal came
 */
export async function validate(
  model: Pick<PretrainModel, 'evaluate' | 'losses'>,
  source: PretrainSource,
  weights: LossWeights,
  { signal, progress }: ValidationControls,
): Promise<Validation<LossName> | undefined> {
  let batches = 0;
  const done = () => progress?.(++batches);
  const tallyAll = (all: AsyncIterable<Batch>, of: LossWeights) =>
    sumTallies(all, (batch) => model.evaluate(batch, of), {
      signal,
      done: (batch) => {
        source.release(batch);
        done();
      },
    });
  const masked = await tallyAll(source.validate(), weights);
  if (!masked) return undefined;
  const onlyQa = recordOf(lossNames, (name) => (name === 'qa' ? weights.qa : 0));
  const answered = weights.qa > 0 ? await tallyAll(source.validateAnswers(), onlyQa) : undefined;
  if (signal?.aborted) return undefined;

  const { total, losses } = model.losses(masked, weights);
  const accuracies = lossesOn(lossNames, weights).flatMap((name) => {
    const tally = name === 'qa' ? answered?.qa : masked[name];
    return tally && tally.labelled > 0 ? [[name, tally.correct / tally.labelled] as const] : [];
  });
  return { loss: total, losses, accuracy: Object.fromEntries(accuracies) };
}

/** Sums over all batches, in their order; the next batch is assembled while the device works on one. */
async function sumTallies(
  batches: AsyncIterable<Batch>,
  evaluate: (batch: Batch) => Promise<Tallies>,
  { signal, done }: { readonly signal: AbortSignal | undefined; readonly done: (batch: Batch) => void },
): Promise<Tallies | undefined> {
  let sum: Tallies | undefined;
  let pending: { readonly batch: Batch; readonly tallies: Promise<Tallies> } | undefined;
  const settle = async () => {
    if (!pending) return;
    const tallies = await pending.tallies;
    sum = sum ? addTallies(lossNames, sum, tallies) : tallies;
    done(pending.batch);
  };
  for await (const batch of batches) {
    if (signal?.aborted) break;
    const tallies = evaluate(batch);
    tallies.catch(() => undefined);
    await settle();
    pending = { batch, tallies };
  }
  await settle();
  return signal?.aborted ? undefined : sum;
}
