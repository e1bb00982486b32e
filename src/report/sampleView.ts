import type { Batch } from '../data/batches/batch.js';

/** An answer, word or class with the probability that the model gives it. */
export interface Guess {
  readonly text: string;
  readonly probability: number;
}

/** The detected objects of one picture. */
export interface PictureView {
  readonly id: string;
  /** x0, y0, x1, y1 as shares of the picture. */
  readonly boxes: readonly (readonly number[])[];
  /** The class that the detector gave to each object. */
  readonly objects: readonly number[];
  readonly attributes: readonly number[];
}

/** A validation sample, with the predictions of the model for it. */
export interface SampleView {
  readonly id: string;
  /** WordPieces of the sentence, without [CLS] and [SEP]. */
  readonly words: readonly string[];
  readonly pictures: readonly PictureView[];
  /** One word that was replaced by [MASK]: its position in `words`, and the five most likely words. */
  readonly hidden?: { readonly place: number; readonly guesses: readonly Guess[] } | undefined;
  /** Probability that sentence and picture belong together: with its own picture, and with the picture `otherId`. */
  readonly match?: { readonly own: number; readonly other: number; readonly otherId: string } | undefined;
  /**
   * Only for a question: the right answers, the most likely answers, and the probability of the most likely right
   * answer.
   */
  readonly answer?: AnswerView | undefined;
}

export interface AnswerView {
  readonly right: readonly string[];
  readonly guesses: readonly Guess[];
  readonly rightProbability: number;
}

/** The detected objects of sample `s` of a batch. */
export function pictureView(batch: Batch, s: number, id: string): PictureView {
  const [begin, end] = [batch.objectOffsets[s], batch.objectOffsets[s + 1]];
  const rows = Array.from({ length: end - begin }, (_, i) => begin + i);
  return {
    id,
    boxes: rows.map((row) => Array.from(batch.visualPos.subarray(4 * row, 4 * row + 4))),
    objects: rows.map((row) => batch.objectLabels[row]),
    attributes: rows.map((row) => batch.attributeLabels[row]),
  };
}

/** Softmax over the first `count` of some logits. */
export function softmax(logits: Float32Array, count = logits.length): Float64Array {
  const own = logits.subarray(0, count);
  const most = own.reduce((a, b) => Math.max(a, b), -Infinity);
  const exps = Float64Array.from(own, (logit) => Math.exp(logit - most));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((value) => value / sum);
}

/** The `count` most likely rows, in descending order of their probability. */
export function bestGuesses(
  probabilities: Float64Array,
  textOf: (row: number) => string,
  count: number,
): readonly Guess[] {
  const rows = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  return rows.slice(0, count).map((row) => ({ text: textOf(row), probability: probabilities[row] }));
}

/** `count` numbers below `size`, spread evenly. */
export const spread = (size: number, count: number): number[] =>
  Array.from({ length: Math.min(size, count) }, (_, i) => Math.floor((i * size) / Math.min(size, count)));

/** Samples for the gallery, and the accuracies and the mistakes on a larger number of samples. */
export interface SampleViews {
  /** The names of the splits, separated by commas. */
  readonly split: string;
  readonly checkpoint: string;
  readonly gallery: readonly SampleView[];
  /** The accuracies of the model, compared with those of a guess. */
  readonly scores: readonly ViewScore[];
  /** Number of questions on which the model was tested to find mistakes. */
  readonly asked: number;
  /** Wrong answers with the lowest probability of the right answer, worst first. */
  readonly worst: readonly SampleView[];
  /** Wrong answers with the highest probability, most confident first. */
  readonly mostConfident: readonly SampleView[];
}

/**
 * The accuracy of the model on a task, and the accuracy of always giving the most frequent answer; both from 0 to 1.
 */
export interface ViewScore {
  readonly task: string;
  readonly asked: number;
  readonly right: number;
  readonly guessed: number;
}

export interface SampleViewOptions {
  /** Number of samples in the gallery. */
  readonly samples: number;
  /** The largest number of samples for the accuracies, and the largest number of questions for the mistakes. */
  readonly questions: number;
  /** Number of mistakes of each kind. */
  readonly mistakes: number;
}

/** The mistakes among some questions. */
export function mistakesIn(
  views: readonly SampleView[],
  count: number,
): Pick<SampleViews, 'asked' | 'worst' | 'mostConfident'> {
  const wrong = views.flatMap((view) => {
    const { answer } = view;
    return answer && !answer.right.includes(answer.guesses[0].text) ? [{ view, answer }] : [];
  });
  const first = (by: (one: (typeof wrong)[number]) => number): SampleView[] =>
    [...wrong]
      .sort((a, b) => by(a) - by(b))
      .slice(0, count)
      .map(({ view }) => view);
  return {
    asked: views.length,
    worst: first(({ answer }) => answer.rightProbability),
    mostConfident: first(({ answer }) => -answer.guesses[0].probability),
  };
}

/**
 * The accuracies of some samples by task. A question counts as right if the most likely answer is one of its right
 * answers.
 */
export function scoresOf(views: readonly SampleView[]): ViewScore[] {
  const words = views.flatMap(({ words: all, hidden }) =>
    hidden ? [{ right: [all[hidden.place]], said: hidden.guesses[0].text }] : [],
  );
  const matches = views.flatMap(({ match }) =>
    match
      ? [
          { right: ['yes'], said: match.own >= 0.5 ? 'yes' : 'no' },
          { right: ['no'], said: match.other >= 0.5 ? 'yes' : 'no' },
        ]
      : [],
  );
  const answers = views.flatMap(({ answer }) =>
    answer && answer.right.length > 0 ? [{ right: answer.right, said: answer.guesses[0].text }] : [],
  );
  const score = (task: string, list: typeof answers): ViewScore[] =>
    list.length === 0
      ? []
      : [
          {
            ...{ task, asked: list.length },
            right: list.filter(({ right, said }) => right.includes(said)).length / list.length,
            guessed: mostFrequent(list.map(({ right }) => right)) / list.length,
          },
        ];
  return [
    ...score('hidden word', words),
    ...score('sentence and picture belong together', matches),
    ...score('questions', answers),
  ];
}

/** The number of lists that contain the most frequent entry. */
function mostFrequent(lists: readonly (readonly string[])[]): number {
  const counts = new Map<string, number>();
  for (const list of lists) for (const entry of new Set(list)) counts.set(entry, (counts.get(entry) ?? 0) + 1);
  return Math.max(0, ...counts.values());
}
