import { questionTemplate, questionTypes } from './questions.js';
import type { Asked, QuestionTemplate, QuestionType } from './questions.js';

/** How many more questions one answer may have than another, within a template and within a hint. */
export const maxLead = 2;

/**
 * Keeps the answers of one split balanced, by template and, within it, by hint: a question is taken only while its
 * answer does not lead the rarest by `maxLead`. So knowing the question helps nobody to guess. What is taken depends on the scenes before, never on how many come after.
 */
export class AnswerBalance {
  readonly #tallies = new Map<string, Map<string, number>>();

  /** Whether this question may be asked now; if so it is counted as asked. */
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

/** A question as the files have it. */
export interface AnsweredQuestion {
  readonly sentence: string;
  readonly answer: string;
}

/** Share of questions that are answered right without looking at the picture. */
export interface LanguageOnlyMajority {
  /** Questions of each type, and over all of them under `all`. */
  readonly questions: Readonly<Partial<Record<QuestionType | 'all', number>>>;
  /** The share, 0 to 1, under the same keys. */
  readonly majority: Readonly<Partial<Record<QuestionType | 'all', number>>>;
}

/** Counts questions as they come and says how well they can be guessed. */
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
 * How well one answers who never sees a picture and gives, to every template, its most frequent answer in these very
 * questions. The floor that a model's accuracy is to be measured against.
 */
export function languageOnlyMajority(questions: Iterable<AnsweredQuestion>): LanguageOnlyMajority {
  const tally = new LanguageOnlyTally();
  for (const question of questions) tally.add(question);
  return tally.result();
}
