import { AnswerBalance, LanguageOnlyTally } from './balance.js';
import type { LanguageOnlyMajority } from './balance.js';
import { questionTemplates } from './questions.js';
import type { QuestionTemplate } from './questions.js';
import { createRandom } from './random.js';
import { askInTurn } from './sentences.js';
import { sceneKey, splits, streams } from './world.js';
import type { Scene, Split } from './world.js';

/** The templates of the fine-tuning questions. A scene has at most one question of each. */
const templateNames: readonly string[] = ['existence', 'color', 'shape'];
const templates: readonly QuestionTemplate[] = questionTemplates.filter(({ name }) => templateNames.includes(name));

/** The answers of the fine-tuning questions, sorted. There are fewer than in pre-training. */
export const vqaAnswers: readonly string[] = [...new Set(templates.flatMap(({ answers }) => answers))].sort();

/** One question in the original's form of VQA. */
export interface VqaEntry {
  readonly question_id: number;
  readonly img_id: string;
  readonly sent: string;
  readonly label: Readonly<Record<string, number>>;
  readonly answer_type: 'yes/no' | 'other';
  readonly question_type: string;
}

/** Number of question ids for each scene, and for each split. Ids are unique over both splits. */
const idsPerScene = 10;
const idsPerSplit = 10 ** 9;

export interface VqaSet {
  /** Makes the questions about scene `index`. */
  readonly ask: (scene: Scene, index: number) => VqaEntry[];
  readonly languageOnly: () => LanguageOnlyMajority;
}

/**
 * Creates a question set of one split for fine-tuning, in the form of VQA: questions of three templates. They are drawn and
 * balanced independently of the pre-training questions. `ask` must be called for the scenes in order.
 */
export function createVqaSet(seed: number, split: Split): VqaSet {
  const balance = new AnswerBalance();
  const tally = new LanguageOnlyTally();
  const ask = (scene: Scene, index: number): VqaEntry[] => {
    const random = createRandom(...sceneKey(seed, split, index, streams.vqa));
    const questions = askInTurn(
      templates.map((template) => [template]),
      { scene, random, balance },
    );
    return questions.map(({ sentence, answer, type }, k) => {
      tally.add({ sentence, answer });
      return {
        question_id: splits.indexOf(split) * idsPerSplit + index * idsPerScene + k,
        img_id: scene.id,
        sent: sentence,
        label: { [answer]: 1 },
        answer_type: answer === 'yes' || answer === 'no' ? 'yes/no' : 'other',
        question_type: type,
      };
    });
  };
  return { ask, languageOnly: () => tally.result() };
}
