/** The sum of scores, and the number of questions. */
class Sum {
  questions = 0;
  #score = 0;
  /** The rounding error of the sum so far (Kahan's method). With it, ten scores of 0.3 have the mean 0.3. */
  #lost = 0;

  add(score: number, questions: number): void {
    const corrected = score - this.#lost;
    const sum = this.#score + corrected;
    this.#lost = sum - this.#score - corrected;
    this.#score = sum;
    this.questions += questions;
  }

  get mean(): number | undefined {
    return this.questions === 0 ? undefined : this.#score / this.questions;
  }
}

/**
 * The accuracy of question answering as the original computes it (`LXMERTEvaluator.evaluate`). It is the mean, over all
 * labelled questions, of the score that the label gives to the predicted answer. An answer that is not in the label has
 * score 0.
 */
export class QuestionScores {
  readonly #all = new Sum();
  readonly #sets = new Map<string, Sum>();

  /** Adds one question of a data set. */
  add(set: string, score: number): void {
    const sum = this.#sets.get(set) ?? new Sum();
    this.#sets.set(set, sum);
    for (const each of [sum, this.#all]) each.add(score, 1);
  }

  /** Adds questions that belong to no data set. */
  addUnnamed(score: number, questions: number): void {
    this.#all.add(score, questions);
  }

  /** Mean over all questions; undefined if there are none. */
  get overall(): number | undefined {
    return this.#all.mean;
  }

  /** Mean for each data set, in the order of their names; undefined if there are none. */
  get bySet(): Readonly<Record<string, number>> | undefined {
    if (this.#sets.size === 0) return undefined;
    const names = [...this.#sets.keys()].sort();
    return Object.fromEntries(names.map((name) => [name, this.#sets.get(name)?.mean ?? 0]));
  }
}
