/** Sums of scores and numbers of questions. */
interface Sum {
  score: number;
  questions: number;
}

/**
 * The accuracy of question answering as the original computes it (`LXMERTEvaluator.evaluate`): the score that the label
 * gives to the predicted answer, 0 for an answer that is not in the label, as a mean over all labelled questions.
 */
export class QuestionScores {
  readonly #all: Sum = { score: 0, questions: 0 };
  readonly #sets = new Map<string, Sum>();

  /** Adds one question of a data set. */
  add(set: string, score: number): void {
    const sum = this.#sets.get(set) ?? { score: 0, questions: 0 };
    this.#sets.set(set, sum);
    for (const each of [sum, this.#all]) {
      each.score += score;
      each.questions++;
    }
  }

  /** Adds questions of no data set. */
  addUnnamed(score: number, questions: number): void {
    this.#all.score += score;
    this.#all.questions += questions;
  }

  /** Over all questions; undefined when there is none. */
  get overall(): number | undefined {
    return meanOf(this.#all);
  }

  /** By data set, in the order of their names; undefined when there is none. */
  get bySet(): Readonly<Record<string, number>> | undefined {
    if (this.#sets.size === 0) return undefined;
    const names = [...this.#sets.keys()].sort();
    return Object.fromEntries(names.map((name) => [name, meanOf(this.#sets.get(name)!) ?? 0]));
  }
}

const meanOf = ({ score, questions }: Sum): number | undefined => (questions === 0 ? undefined : score / questions);
