import { questionTemplate, questionTypes } from './questions.js';
import type { Asked, QuestionTemplate, QuestionType } from './questions.js';

/** The largest difference between the numbers of questions of two answers, for each template and for each hint. */
export const maxLead = 2;

/**
 * Keeps the answers of one split balanced, for each template and for each hint of a template. A question is accepted
 * only if its answer then has at most `maxLead` more questions than the rarest answer. So the question alone does not
 * help to guess the answer. The result depends only on earlier scenes, not on the number of later scenes.
 */
export class AnswerBalance {
  readonly #tallies = new Map<string, Map<string, number>>();

  /** Whether this question is accepted. If so, it is counted. */
  take(template: QuestionTemplate, asked: Asked): boolean {
    const tallies = [this.#tally(template, template.name), this.#tally(template, `${template.name}: ${asked.hint}`)];
    const due = tallies.every((tally) => tally.get(asked.answer)! - Math.min(...tally.values()) < maxLead);
    if (!due) return false;
    for (const tally of tallies) tally.set(asked.answer, tally.get(asked.answer)! + 1);
    return true;
  }

  #tally(template: QuestionTemplate, key: string): Map<string, number> {
    let tally = this.#tallies.get(key);
    if (!tally) this.#tallies.set(key, (tally = new Map(template.answers.map((answer) => [answer, 0]))));
    return tally;
  }
}

/** A question of a file. */
export interface AnsweredQuestion {
  readonly sentence: string;
  readonly answer: string;
}

/** The share of questions that can be answered without the picture. */
export interface LanguageOnlyMajority {
  /** Number of questions of each type; `all` has the number of all questions. */
  readonly questions: Readonly<Partial<Record<QuestionType | 'all', number>>>;
  /** The share, 0 to 1, with the same keys. */
  readonly majority: Readonly<Partial<Record<QuestionType | 'all', number>>>;
}

/** Counts questions and computes how well they can be guessed. */
export class LanguageOnlyTally {
  readonly #templates = new Map<string, { type: QuestionType; answers: Map<string, number> }>();

  add({ sentence, answer }: AnsweredQuestion): void {
    const template = questionTemplate(sentence);
    if (!template) return;
    let tally = this.#templates.get(template.name);
    if (!tally) this.#templates.set(template.name, (tally = { type: template.type, answers: new Map() }));
    tally.answers.set(answer, (tally.answers.get(answer) ?? 0) + 1);
  }

  result(): LanguageOnlyMajority {
    const asked: Partial<Record<QuestionType | 'all', number>> = {};
    const guessed: Partial<Record<QuestionType | 'all', number>> = {};
    for (const { type, answers } of this.#templates.values()) {
      const counts = [...answers.values()];
      for (const key of [type, 'all'] as const) {
        asked[key] = (asked[key] ?? 0) + counts.reduce((sum, count) => sum + count, 0);
        guessed[key] = (guessed[key] ?? 0) + Math.max(...counts);
      }
    }
    const keys = [...questionTypes, 'all' as const].filter((key) => asked[key] !== undefined);
    const table = (value: (key: QuestionType | 'all') => number) =>
      Object.fromEntries(keys.map((key) => [key, value(key)]));
    return { questions: table((key) => asked[key]!), majority: table((key) => guessed[key]! / asked[key]!) };
  }
}

/**
 * The share of right answers if every question gets the most frequent answer of its template, without looking at the
 * picture. A model's accuracy should be compared with this floor.
 */
export function languageOnlyMajority(questions: Iterable<AnsweredQuestion>): LanguageOnlyMajority {
  const tally = new LanguageOnlyTally();
  for (const question of questions) tally.add(question);
  return tally.result();
}
