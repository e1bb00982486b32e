import { lossNames, type LossName } from '../config/tasks.js';
import type { Batch } from '../data/batches/batch.js';
import type { PretrainSource } from '../data/batches/pretrainSource.js';
import type { QuestionBatch } from '../data/batches/questions.js';
import { recordOf } from '../records.js';
import { addTallies, lossesOn } from '../step/losses.js';
import { gatherTurns, inStep } from '../train/index.js';
import type { TrainRanks, Validation, ValidationControls } from '../train/index.js';
import type { LossWeights, Tallies } from './losses.js';
import type { PretrainModel } from './parts.js';
import { QuestionScores } from './questionScores.js';

type ValidatedModel = Pick<PretrainModel, 'answer' | 'evaluate' | 'losses'>;

/**
 * Computes losses and accuracies on the validation samples, with dropout off. Masks and swaps are the same in every
 * validation. The accuracy of question answering is computed on the labelled questions without masks and swaps; all other
 * figures are computed on the masked samples.
 * @returns undefined if there is no sample, or if the signal was aborted
 */
export async function validate(
  model: ValidatedModel,
  source: PretrainSource,
  weights: LossWeights,
  { signal, progress, ranks }: ValidationControls,
): Promise<Validation<LossName> | undefined> {
  let batches = 0;
  const done = (batch: Batch): void => {
    source.release(batch);
    progress?.(++batches);
  };
  const masked = await sumTallies(model, source, weights, { signal, done, ranks });
  if (!masked) return undefined;
  const questions = weights.qa > 0 ? await scoreQuestions(model, source, weights, { signal, done, ranks }) : undefined;
  if (signal?.aborted) return undefined;

  const { total, losses } = model.losses(masked, weights);
  const accuracies = lossesOn(lossNames, weights).flatMap((name) => {
    const { correct, labelled } = masked[name];
    const accuracy = name === 'qa' ? questions?.overall : labelled > 0 ? correct / labelled : undefined;
    return accuracy === undefined ? [] : [[name, accuracy] as const];
  });
  const bySet = questions?.bySet;
  return {
    loss: total,
    losses,
    accuracy: Object.fromEntries(accuracies),
    accuracyBySet: bySet && { qa: bySet },
  };
}

interface PassOptions {
  readonly signal: AbortSignal | undefined;
  readonly ranks: TrainRanks | undefined;
  /** Called when the batch is no longer used. */
  readonly done: (batch: Batch) => void;
}

/** The sums of each loss over all validation samples; undefined if there is no sample or the signal was aborted. */
async function sumTallies(
  model: ValidatedModel,
  source: PretrainSource,
  weights: LossWeights,
  options: PassOptions,
): Promise<Tallies | undefined> {
  const own: Tallies[] = [];
  await overlapped(
    source.validate(),
    (batch) => model.evaluate(batch, weights).then((tallies) => () => void own.push(tallies)),
    options,
  );
  if (options.signal?.aborted) return undefined;
  const [first, ...rest] = await gatherTurns(options.ranks, 'tallies', own);
  return rest.reduce<Tallies | undefined>((sum, tallies) => sum && addTallies(lossNames, sum, tallies), first);
}

/** The scores of the model's answers to all labelled questions. */
async function scoreQuestions(
  model: ValidatedModel,
  source: PretrainSource,
  weights: LossWeights,
  options: PassOptions,
): Promise<QuestionScores> {
  /** For each batch: data set and score of each question. Without a data set: number of right answers, and of questions. */
  const own: (readonly (readonly [string | null, number, number])[])[] = [];
  const onlyQa = recordOf(lossNames, (name) => (name === 'qa' ? weights.qa : 0));
  const ask = async (batch: QuestionBatch): Promise<() => void> => {
    const { questions } = batch;
    if (questions) {
      const answers = await model.answer(batch);
      return () => void own.push(questions.map(({ set, scores: of }, i) => [set, of.get(answers[i]) ?? 0, 1]));
    }
    // This source gives no scores of answers. The model's answer is right if it is equal to the answer in the batch.
    const { qa } = await model.evaluate(batch, onlyQa);
    return () => void own.push([[null, qa.correct, qa.labelled]]);
  };
  await overlapped(source.validateAnswers(), ask, options);
  const scores = new QuestionScores();
  if (options.signal?.aborted) return scores;
  for (const [set, score, questions] of (await gatherTurns(options.ranks, 'scores', own)).flat())
    if (set === null) scores.addUnnamed(score, questions);
    else scores.add(set, score);
  return scores;
}

/** Calls `work` for all batches in their order. While the device works on one batch, the next batch is assembled. */
async function overlapped<B extends Batch>(
  batches: AsyncIterable<B>,
  work: (batch: B) => Promise<() => void>,
  { signal, done, ranks }: PassOptions,
): Promise<void> {
  let pending: { readonly batch: B; readonly finish: Promise<() => void> } | undefined;
  const settle = async (): Promise<void> => {
    if (!pending) return;
    (await pending.finish)();
    done(pending.batch);
  };
  for await (const batch of inStep(ranks, batches)) {
    if (signal?.aborted) break;
    const finish = work(batch);
    finish.catch(() => undefined);
    await settle();
    pending = { batch, finish };
  }
  await settle();
}
