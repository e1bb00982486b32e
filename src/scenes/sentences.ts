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
  /** The split's, carried from scene to scene. */
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
  /** What was asked of this scene before. */
  readonly questions: readonly Question[];
}

/** A new question of this template whose answer is due, if the scene allows one. */
function ask(template: QuestionTemplate, { scene, random, balance, questions }: Circumstances): Question | undefined {
  return firstOf(random.shuffle(template.ask(scene)), (asked) => {
    const sentence = word(template, asked, random.word());
    const repeated = questions.some((question) => question.sentence === sentence);
    if (repeated || !balance.take(template, asked)) return undefined;
    return { sentence, answer: asked.answer, type: template.type };
  });
}

/** One question of each row of templates, of the first, in random order, that can be asked. */
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

/** The sentences about scene `index` of a split. */
export function makeSentences(scene: Scene, { seed, split, index, balance }: SentenceOptions): Sentences {
  const random = createRandom(...sceneKey(seed, split, index, streams.sentences));
  const captions = makeCaptions(scene, random);
  return { captions, questions: askInTurn(questionPlan, { scene, random, balance }) };
}
