import { LxmertError } from '../../errors.js';
import type { Question, QuestionTask } from '../questions/question.js';
import { annotatorAccuracy } from './annotators.js';
import { statementOf } from './nlvr2.js';

/** What happens if a question has no prediction: an error, a score of 0, or the question is left out. */
export type MissingPredictions = 'refuse' | 'wrong' | 'skip';

export interface ScoreOptions {
  readonly task: QuestionTask;
  /** Answers by question id. */
  readonly predictions: ReadonlyMap<string, string>;
  /** Default: 'refuse', as the official programs do. */
  readonly missing?: MissingPredictions | undefined;
  /** Names of the labels and the predictions in error messages. */
  readonly labelsName?: string | undefined;
  readonly predictionsName?: string | undefined;
}

/** Scores from 0 to 1. */
export interface Score {
  readonly accuracy: number;
  /** For NLVR2: the share of statements with a right answer for each pair of pictures. */
  readonly consistency?: number | undefined;
  /** Number of questions over which the accuracy is the mean. */
  readonly questions: number;
  /** For NLVR2: the number of all statements. */
  readonly statements?: number | undefined;
  /** Accuracy by `answer_type` of VQA, by `structural` and `semantic` type of GQA, and by `type` of the user's own data. */
  readonly byType?: Readonly<Record<string, number>> | undefined;
  /** For VQA: accuracy by `question_type`, the first words of the question. */
  readonly byQuestionType?: Readonly<Record<string, number>> | undefined;
  /** Questions without a prediction. */
  readonly missing: number;
  /** Number of predictions for unknown questions. */
  readonly unknown: number;
}

/** Receives questions one at a time, and computes the score at the end. */
export interface Scorer {
  readonly add: (question: Question) => void;
  /** @throws BAD_DATA if labels or predictions are missing; the message has their number and an example */
  readonly result: () => Score;
}

/** The fields of a question by which `byType` groups the questions. */
const typeFields: Readonly<Record<QuestionTask, readonly string[]>> = {
  vqa: ['answer_type'],
  gqa: ['structural', 'semantic'],
  nlvr2: [],
  qa: ['type'],
};
const questionTypeFields: Readonly<Partial<Record<QuestionTask, readonly string[]>>> = { vqa: ['question_type'] };

/**
 * The score of an answer, 0 to 1. If the data have the annotators' answers, it is the official VQA accuracy; otherwise it
 * is the score of the equal label. Answers are compared unchanged, but for NLVR2 upper and lower case are equal.
 */
export function scoreOf(task: QuestionTask, { labels = [], annotators }: Question, said: string): number {
  if (annotators !== undefined) return annotatorAccuracy(annotators, said);
  const form = (answer: string): string => (task === 'nlvr2' ? answer.toLowerCase() : answer);
  return labels.find(({ answer }) => form(answer) === form(said))?.score ?? 0;
}

/** A sum and a count for each name, in the order in which the names were first added. */
class Means {
  readonly #sums = new Map<string, { sum: number; count: number }>();

  add(name: string, score: number): void {
    const entry = this.#sums.get(name) ?? { sum: 0, count: 0 };
    entry.sum += score;
    entry.count += 1;
    this.#sums.set(name, entry);
  }

  /** Returns the mean for each name; undefined if nothing was added. */
  result(): Readonly<Record<string, number>> | undefined {
    if (this.#sums.size === 0) return undefined;
    return Object.fromEntries([...this.#sums].map(([name, { sum, count }]) => [name, sum / count]));
  }
}

/** Scores predictions as the official programs do, in the order of the questions. */
export function createScorer(options: ScoreOptions): Scorer {
  const { task, predictions, missing = 'refuse' } = options;
  const { labelsName = 'the labels', predictionsName = 'the predictions' } = options;
  const byType = new Means();
  const byQuestionType = new Means();
  /** For each statement, whether all its answers have been right so far. */
  const statements = new Map<string, boolean>();
  const without: { labels: string[]; prediction: string[] } = { labels: [], prediction: [] };
  let asked = 0;
  let scored = 0;
  let sum = 0;
  let answered = 0;

  const add = (question: Question): void => {
    asked += 1;
    if (question.labels === undefined) without.labels.push(question.id);
    const said = predictions.get(question.id);
    if (said === undefined) without.prediction.push(question.id);
    else answered += 1;
    if (said === undefined && missing === 'skip') return;
    const score = said === undefined ? 0 : scoreOf(task, question, said);
    scored += 1;
    sum += score;
    for (const field of typeFields[task]) if (field in question.types) byType.add(question.types[field], score);
    for (const field of questionTypeFields[task] ?? []) {
      if (field in question.types) byQuestionType.add(question.types[field], score);
    }
    if (task === 'nlvr2') {
      const statement = statementOf(question.id);
      statements.set(statement, (statements.get(statement) ?? true) && score === 1);
    }
  };

  const result = (): Score => {
    if (without.labels.length > 0) {
      throw new LxmertError(
        'BAD_DATA',
        `${labelsName}: ${without.labels.length} of ${asked} questions have no labels (${some(without.labels)}); a score needs labels`,
      );
    }
    if (without.prediction.length > 0 && missing === 'refuse') {
      throw new LxmertError(
        'BAD_DATA',
        `${predictionsName}: predictions are missing: ${without.prediction.length} of ${asked} questions of ${labelsName} have ` +
          `none (${some(without.prediction)}); --missing-wrong scores them as wrong`,
      );
    }
    if (scored === 0)
      throw new LxmertError('BAD_DATA', `${predictionsName}: no prediction is for a question of ${labelsName}`);
    const consistent = [...statements.values()].filter(Boolean).length;
    return {
      accuracy: sum / scored,
      consistency: task === 'nlvr2' ? consistent / statements.size : undefined,
      questions: scored,
      statements: task === 'nlvr2' ? statements.size : undefined,
      byType: byType.result(),
      byQuestionType: byQuestionType.result(),
      missing: without.prediction.length,
      unknown: predictions.size - answered,
    };
  };
  return { add, result };
}

const some = (ids: readonly string[]): string => ids.slice(0, 3).join(', ') + (ids.length > 3 ? ', …' : '');
