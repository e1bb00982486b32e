import { taskNames } from '../../config/tasks.js';
import type { TaskName } from '../../config/tasks.js';
import { LxmertError } from '../../errors.js';
import { recordOf } from '../../records.js';
import type { RandomStream } from '../random.js';

/**
 * The pre-training tasks for which a batch is prepared. If a task is off, no word is masked (maskedLm), no object is masked
 * (objects), no sentence is swapped (matched), or no answer is given (qa).
 */
export type PretrainTasks = Readonly<Record<TaskName, boolean>>;

export const allTasks: PretrainTasks = recordOf(taskNames, () => true);

/** The rates of masking and swapping, as shares from 0 to 1. */
export interface MaskingRates {
  /** Share of tokens to predict, without [CLS] and [SEP]. */
  readonly words: number;
  /** Share of objects to predict. */
  readonly objects: number;
  /** Share of the tokens or objects to predict that are replaced by [MASK] or by a feature of zeros. */
  readonly masked: number;
  /**
   * Share of the tokens or objects to predict that are replaced by a random word or by an object of another image. The
   * other ones do not change.
   */
  readonly random: number;
  /** Share of the samples that get a sentence of another image. */
  readonly swapped: number;
}

/** The rates of LXMERT, section 3.1, and of the public code. */
export const paperRates: MaskingRates = { words: 0.15, objects: 0.15, masked: 0.8, random: 0.1, swapped: 0.5 };

/** Fills in the paper's rates. Throws BAD_ARGUMENT for a rate outside 0 … 1. */
export function maskingRates(given: Partial<MaskingRates> = {}): MaskingRates {
  const rates = { ...paperRates, ...given };
  for (const [name, rate] of Object.entries(rates)) {
    if (!(rate >= 0 && rate <= 1)) {
      throw new LxmertError('BAD_ARGUMENT', `masking rate '${name}' must be from 0 to 1, found ${rate}`);
    }
  }
  if (rates.masked + rates.random > 1 + 1e-9) {
    throw new LxmertError(
      'BAD_ARGUMENT',
      `masking rates 'masked' (${rates.masked}) and 'random' (${rates.random}) must not sum to more than 1`,
    );
  }
  return rates;
}

/** What happens to a token or an object. */
export const fates = { untouched: 0, masked: 1, random: 2, kept: 3 } as const;

export type Fate = (typeof fates)[keyof typeof fates];

/**
 * Draws what happens to one token or object. The share `rate` is predicted. One random number determines whether the
 * item is predicted and how it is replaced, as in the original. As in the original, it is possible that no word of a
 * sentence is predicted.
 */
export function drawFate(random: RandomStream, rate: number, { masked, random: replaced }: MaskingRates): Fate {
  const draw = random.uniform();
  if (draw >= rate) return fates.untouched;
  const share = draw / rate;
  if (share < masked) return fates.masked;
  return share < masked + replaced ? fates.random : fates.kept;
}

/** The images of the samples, which swapping and replacing need. */
export interface SampleImages {
  readonly size: number;
  readonly images: Int32Array;
}

/**
 * Draws a sample of another image. It draws again until the image differs, as the original does. If nearly all samples
 * belong to `image`, many draws can fail; then it returns the next sample of another image. Returns -1 if there is
 * none.
 */
export function drawOtherImage(random: RandomStream, samples: SampleImages, image: number): number {
  let sample = 0;
  for (let tries = 0; tries < 64; tries++) {
    sample = random.below(samples.size);
    if (samples.images[sample] !== image) return sample;
  }
  for (let i = 1; i < samples.size; i++) {
    const next = (sample + i) % samples.size;
    if (samples.images[next] !== image) return next;
  }
  return -1;
}

/** Draws one of the answers `from … to - 1`, with probabilities in proportion to the scores; -1 if there is no answer. */
export function drawAnswer(
  random: RandomStream,
  { answerIds, answerScores }: { readonly answerIds: Int32Array; readonly answerScores: Float32Array },
  from: number,
  to: number,
): number {
  let total = 0;
  for (let i = from; i < to; i++) total += answerScores[i];
  let rest = random.uniform() * total;
  for (let i = from; i < to; i++) {
    rest -= answerScores[i];
    if (rest < 0) return answerIds[i];
  }
  return to > from ? answerIds[to - 1] : -1;
}

/** The first answer with the highest score among `from … to - 1`; -1 if there is no answer. */
export function bestAnswer(
  { answerIds, answerScores }: { readonly answerIds: Int32Array; readonly answerScores: Float32Array },
  from: number,
  to: number,
): number {
  let best = from;
  for (let i = from + 1; i < to; i++) if (answerScores[i] > answerScores[best]) best = i;
  return to > from ? answerIds[best] : -1;
}
