import type { Batch } from '../data/batches/batch.js';
import { packSamples, samplesOf, type Sample } from '../data/batches/packSamples.js';
import { epochOrder, RandomStream } from '../data/random.js';
import {
  areaUnder,
  explainBy,
  explanationMethods,
  keptCounts,
  meanAndError,
  removalOrder,
  removals,
  removedShares,
  type ExplanationMethod,
  type Relevance,
  type Removal,
} from '../explain/index.js';
import { withAsked, type Asked, type AskedRequest } from './asked.js';
import { explainBatch } from './explainBatch.js';
import { pickQuestions } from './questionData.js';
import { questionBatches } from './questionSource.js';
import { bestRow } from './rank.js';

export const removedParts = ['words', 'boxes'] as const;
export type RemovedPart = (typeof removedParts)[number];

/** The methods that are compared. `random` removes in a random order. */
export const testedMethods = [...explanationMethods, 'random'] as const;
export type TestedMethod = ExplanationMethod | 'random';

export interface PerturbationRequest extends AskedRequest {
  /** Number of questions, drawn at random from the splits; default 500. If the splits have fewer, all are used. */
  readonly questions?: number | undefined;
  /** Seed for the choice of questions and for all random orders; default 0. */
  readonly seed?: number | undefined;
  /** Number of questions in a batch; default 32. */
  readonly batchSize?: number | undefined;
  /** Called after each batch: `done` of `of` questions are finished. */
  readonly progress?: ((done: number, of: number) => void) | undefined;
}

/** How the accuracy falls while words or boxes are removed in the order of one explanation. */
export interface PerturbationCurve {
  readonly part: RemovedPart;
  /**
   * `most`: the most relevant are removed first (positive test; a lower area is better). `least`: the least relevant
   * are removed first (negative test; a higher area is better).
   */
  readonly first: Removal;
  readonly method: TestedMethod;
  /** Mean score of the answers at each removed share. */
  readonly accuracy: readonly number[];
  /** Area under this curve, and its standard error over the questions. */
  readonly area: number;
  readonly error: number;
  /** The area minus the area of `relevancy` for the same questions: mean and standard error over the questions. */
  readonly beyondRelevancy: { readonly mean: number; readonly error: number };
}

export interface PerturbationReport {
  readonly checkpoint: string;
  readonly splits: readonly string[];
  readonly questions: number;
  readonly seed: number;
  /** The shares of the words or boxes that are removed. */
  readonly removed: readonly number[];
  readonly curves: readonly PerturbationCurve[];
  /** Time of an explanation by relevancy, divided by the time of a forward pass of the same questions: the median. */
  readonly forwardsPerExplanation: number;
}

/**
 * The perturbation test. It measures which method finds the words and boxes on which the answers depend. The score of a
 * question is the score that its label gives to the model's answer. [CLS], [SEP] and at least one box are never
 * removed. A box is removed together with its features.
 * @throws UNSUPPORTED for a model that takes two pictures for each question; the errors of `withAsked`
 */
export function perturbationTest(request: PerturbationRequest): Promise<PerturbationReport> {
  const { questions: most = 500, seed = 0, batchSize = 32, splits, progress, signal } = request;
  return withAsked({ ...request, labelled: true }, async ({ model, data: all }) => {
    const drawn = [...epochOrder(seed, 0, all.size)].slice(0, most).sort((a, b) => a - b);
    const data = pickQuestions(all, drawn);
    const { batches, release } = questionBatches(data, { batchSize, workers: 0 });
    const random = new RandomStream(seed);
    const scores = new Map<string, number[][]>();
    const ratios: number[] = [];
    let done = 0;
    for await (const batch of batches) {
      signal?.throwIfAborted();
      const chance = (e: number, n: number): number[] => {
        const stream = random.at(1, drawn[done + e], 'order');
        return Array.from({ length: n }, () => stream.uniform());
      };
      const { curves, ratio } = await testBatch(model, batch, chance);
      for (const [key, own] of curves) scores.set(key, [...(scores.get(key) ?? []), ...own]);
      ratios.push(ratio);
      release(batch);
      done += batch.size;
      progress?.(done, data.size);
    }
    return {
      checkpoint: model.path,
      splits,
      questions: data.size,
      seed,
      removed: removedShares,
      curves: curvesOf(scores),
      forwardsPerExplanation: ratios.sort((a, b) => a - b)[Math.floor(ratios.length / 2)],
    };
  });
}

const keyOf = (part: RemovedPart, first: Removal, method: TestedMethod): string => `${part} ${first} ${method}`;

function curvesOf(scores: ReadonlyMap<string, number[][]>): PerturbationCurve[] {
  const areas = (part: RemovedPart, first: Removal, method: TestedMethod): number[] =>
    scores.get(keyOf(part, first, method))!.map(areaUnder);
  return removedParts.flatMap((part) =>
    removals.flatMap((first) =>
      testedMethods.map((method) => {
        const own = scores.get(keyOf(part, first, method))!;
        const relevancy = areas(part, first, 'relevancy');
        const area = areas(part, first, method);
        return {
          ...{ part, first, method },
          accuracy: removedShares.map((_, step) => meanAndError(own.map((curve) => curve[step])).mean),
          area: meanAndError(area).mean,
          error: meanAndError(area).error,
          beyondRelevancy: meanAndError(area.map((value, i) => value - relevancy[i])),
        };
      }),
    ),
  );
}

/** The scores of each question of a batch at each step, by part, order and method (`keyOf`). */
async function testBatch(
  model: Asked['model'],
  batch: Batch,
  chance: (example: number, n: number) => number[],
): Promise<{ readonly curves: ReadonlyMap<string, number[][]>; readonly ratio: number }> {
  const start = performance.now();
  const explained = await explainBatch(model, batch);
  const relevancy = explained.map(({ attention }) => explainBy.relevancy(attention));
  const middle = performance.now();
  await model.answer(batch);
  const ratio = (middle - start) / (performance.now() - middle);
  const relevances: Readonly<Record<ExplanationMethod, readonly Relevance[]>> = {
    relevancy,
    attention: explained.map(({ attention }) => explainBy.attention(attention)),
    rollout: explained.map(({ attention }) => explainBy.rollout(attention)),
  };
  const samples = samplesOf(batch);
  const whole = explained.map(({ answer }, e) => scoreOf(batch, e, answer));
  const scoresOf = async (reduced: readonly Sample[]): Promise<number[]> => {
    const logits = await model.answer(packSamples(reduced));
    const width = model.config.numQaLabels;
    return reduced.map((_, e) => scoreOf(batch, e, bestRow(logits.subarray(e * width, (e + 1) * width))));
  };
  const curves = new Map<string, number[][]>();
  for (const part of removedParts) {
    const removable = samples.map((sample) => removableOf(sample, part));
    for (const method of testedMethods)
      for (const first of removals) {
        if (method === 'random' && first === 'least') {
          curves.set(keyOf(part, first, method), curves.get(keyOf(part, 'most', method))!); // the same order
          continue;
        }
        const orders = samples.map((_, e) => {
          const random = chance(e, removable[e].length);
          const scores = method === 'random' ? random : removable[e].map((i) => relevances[method][e][part][i]);
          return removalOrder(scores, first, random).map((i) => removable[e][i]);
        });
        const steps = removedShares.slice(1).map((_, step) =>
          scoresOf(
            samples.map((sample, e) => {
              const kept = keptCounts(orders[e].length)[step + 1];
              return without(
                sample,
                part,
                orders[e].slice(0, orders[e].length - Math.max(kept, part === 'boxes' ? 1 : 0)),
              );
            }),
          ),
        );
        const after = await Promise.all(steps);
        curves.set(
          keyOf(part, first, method),
          samples.map((_, e) => [whole[e], ...after.map((scores) => scores[e])]),
        );
      }
  }
  return { curves, ratio };
}

/** The words between [CLS] and [SEP], or all boxes. */
function removableOf({ tokenIds, boxes }: Sample, part: RemovedPart): number[] {
  if (part === 'boxes') return Array.from({ length: boxes.length / 4 }, (_, i) => i);
  return Array.from({ length: Math.max(0, tokenIds.length - 2) }, (_, i) => i + 1);
}

/** A sample without some of its words or boxes. The others keep their order. */
function without(sample: Sample, part: RemovedPart, removed: readonly number[]): Sample {
  const gone = new Set(removed);
  if (part === 'words') return { ...sample, tokenIds: Array.from(sample.tokenIds).filter((_, i) => !gone.has(i)) };
  const width = (4 * sample.features.length) / sample.boxes.length;
  return {
    ...sample,
    boxes: sample.boxes.filter((_, i) => !gone.has(Math.floor(i / 4))),
    features: sample.features.filter((_, i) => !gone.has(Math.floor(i / width))),
  };
}

/** The score that the label of an example gives to an answer; 0 if the answer is not in the label. */
function scoreOf({ targetOffsets, targetIds, targetScores }: Batch, example: number, answer: number): number {
  if (!targetOffsets || !targetIds || !targetScores) return 0;
  for (let i = targetOffsets[example]; i < targetOffsets[example + 1]; i++)
    if (targetIds[i] === answer) return targetScores[i];
  return 0;
}
