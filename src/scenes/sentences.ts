import type { AnswerBalance } from './balance.js';
import { makeCaptions } from './captions.js';
import { questionPlan, word } from './questions.js';
import type { QuestionTemplate, QuestionType } from './questions.js';
import { createRandom } from './random.js';
import type { Random } from './random.js';
import { sceneKey, streams } from './world.js';
import type { Scene, Split } from './world.js';

export interface Question {
  readonly sentence: string;
  readonly answer: string;
  readonly type: QuestionType;
}

export interface Sentences {
  readonly captions: readonly string[];
  readonly questions: readonly Question[];
}

export interface SentenceOptions {
  readonly seed: number;
  readonly split: Split;
  readonly index: number;
  /** The balance of the split; it is the same object for all scenes. */
  readonly balance: AnswerBalance;
}

/** The first result that is not undefined. */
function firstOf<T, R>(items: readonly T[], attempt: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const result = attempt(item);
    if (result !== undefined) return result;
  }
  return undefined;
}

interface Circumstances {
  readonly scene: Scene;
  readonly random: Random;
  readonly balance: AnswerBalance;
  /** The questions of this scene so far. */
  readonly questions: readonly Question[];
}

/** Makes a new question of this template that the balance accepts; undefined if the scene allows none. */
function ask(template: QuestionTemplate, { scene, random, balance, questions }: Circumstances): Question | undefined {
  return firstOf(random.shuffle(template.ask(scene)), (asked) => {
    const sentence = word(template, asked, random.word());
    const repeated = questions.some((question) => question.sentence === sentence);
    if (repeated || !balance.take(template, asked)) return undefined;
    return { sentence, answer: asked.answer, type: template.type };
  });
}

/** Makes one question for each row of templates. The row is tried in random order; the first template that fits is used. */
export function askInTurn(
  plan: readonly (readonly QuestionTemplate[])[],
  circumstances: Omit<Circumstances, 'questions'>,
): Question[] {
  const questions: Question[] = [];
  for (const templates of plan) {
    const question = firstOf(circumstances.random.shuffle(templates), (template) =>
      ask(template, { ...circumstances, questions }),
    );
    if (question) questions.push(question);
  }
  return questions;
}

/** Makes the sentences about scene `index` of a split. */
export function makeSentences(scene: Scene, { seed, split, index, balance }: SentenceOptions): Sentences {
  const random = createRandom(...sceneKey(seed, split, index, streams.sentences));
  const captions = makeCaptions(scene, random);
  return { captions, questions: askInTurn(questionPlan, { scene, random, balance }) };
}
