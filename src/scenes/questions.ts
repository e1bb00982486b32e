import { colors, shapes, sizes } from './world.js';
import type { Scene } from './world.js';
import { countOf, fits, numbered, orderedPairs, palette, phrase, relations, unique } from './descriptions.js';
import type { Referred, Relation } from './descriptions.js';
import { fill, wordingPattern } from './wordings.js';
import type { Slots } from './wordings.js';

export const questionTypes = [
  'existence',
  'counting',
  'color',
  'shape',
  'comparison',
  'leftRight',
  'aboveBelow',
] as const;

/** What kind of thing a question asks for; accuracies are reported by it. */
export type QuestionType = (typeof questionTypes)[number];

/** One question that can be asked of a scene, before it is put into words. */
export interface Asked {
  readonly slots: Slots;
  readonly answer: string;
  /**
   * What the words say beyond the template that could hint at the answer. Answers are balanced within each hint too:
   * "what color is the circle besides the red star" must not be answered "red" more often than the rest.
   */
  readonly hint: string;
}

/** Questions that differ in their words alone. */
export interface QuestionTemplate {
  readonly name: string;
  readonly type: QuestionType;
  /** All answers; each is given equally often. */
  readonly answers: readonly string[];
  readonly wordings: readonly string[];
  /** All that can be asked of a scene in this way. */
  readonly ask: (scene: Scene) => Asked[];
}

const yesNo = ['yes', 'no'] as const;
const counts = ['1', '2', '3'] as const;
const answerOf = (truth: boolean): string => (truth ? 'yes' : 'no');

/** Two things of different colours, each told by its colour and shape. */
function pairs(scene: Scene): [Referred, Referred][] {
  return orderedPairs(unique(scene, ['color', 'shape'])).filter(([a, b]) => a.object.color !== b.object.color);
}

/** Two things compared or related, both told by all their aspects, and how they stand to each other. */
function related(scene: Scene, slot: 'sideways' | 'upright', names: readonly Relation[]): Asked[] {
  return pairs(scene).flatMap(([a, b]) =>
    names.flatMap((name) => {
      const { holds, opposite, phrase: words } = relations[name];
      const truth = holds(a.object, b.object);
      if (!truth && !relations[opposite].holds(a.object, b.object)) return [];
      return {
        slots: { a: phrase(a.description), b: phrase(b.description), [slot]: words },
        answer: answerOf(truth),
        hint: name,
      };
    }),
  );
}

/**
 * The templates. Nearly all name something of the picture besides what they ask for (its colours, another object), as
 * people do; so most questions, too, can be told from questions about another picture.
 */
export const questionTemplates: readonly QuestionTemplate[] = [
  {
    name: 'existence',
    type: 'existence',
    answers: yesNo,
    wordings: [
      'is there a {target} with the {ref}?',
      'do you see a {target} with the {ref}?',
      'besides the {ref}, is there a {target}?',
    ],
    ask: (scene) =>
      unique(scene, ['color', 'shape']).flatMap(({ object, description }) =>
        palette(scene)
          .filter((color) => color !== object.color)
          .flatMap((color) =>
            shapes.map((shape) => ({
              slots: { ref: phrase(description), target: phrase({ color, shape }) },
              answer: answerOf(countOf(scene, { color, shape }) > 0),
              hint: shape === object.shape ? 'same shape' : 'other shape',
            })),
          ),
      ),
  },
  {
    name: 'countColor',
    type: 'counting',
    answers: counts,
    wordings: [
      'how many shapes are {c} and not {d}?',
      'how many {c} shapes are there with the {d} ones?',
      'besides the {d} shapes, how many are {c}?',
    ],
    ask: (scene) =>
      orderedPairs(palette(scene)).map(([c, d]) => ({
        slots: { c, d },
        answer: String(countOf(scene, { color: c })),
        hint: '',
      })),
  },
  {
    name: 'countShape',
    type: 'counting',
    answers: counts,
    wordings: [
      'how many {shapes} are there with the {ref}?',
      'how many {shapes} do you see with the {ref}?',
      'besides the {ref}, how many {shapes} are there?',
    ],
    ask: (scene) =>
      unique(scene, ['color', 'shape']).flatMap(({ object, description }) =>
        shapes
          .filter((shape) => shape !== object.shape && countOf(scene, { shape }) > 0)
          .map((shape) => ({
            slots: { ref: phrase(description), shapes: numbered(shape, 2) },
            answer: String(countOf(scene, { shape })),
            hint: '',
          })),
      ),
  },
  {
    name: 'color',
    type: 'color',
    answers: colors,
    wordings: [
      'what color is the {target} with the {ref}?',
      'what is the color of the {target} with the {ref}?',
      'besides the {ref}, what color is the {target}?',
    ],
    ask: (scene) =>
      [...unique(scene, ['shape']), ...unique(scene, ['size', 'shape'])].flatMap((target) =>
        unique(scene, ['color', 'shape'])
          .filter((ref) => !fits(ref.object, target.description))
          .map((ref) => ({
            slots: { ref: phrase(ref.description), target: phrase(target.description) },
            answer: target.object.color,
            hint: `${ref.object.color} ${ref.object.shape === target.object.shape} ${target.description.size ?? ''}`,
          })),
      ),
  },
  {
    name: 'shape',
    type: 'shape',
    answers: shapes,
    wordings: [
      'what shape is the {target} with the {ref}?',
      'what is the shape of the {target} with the {ref}?',
      'besides the {ref}, what shape is the {target}?',
    ],
    ask: (scene) =>
      [...unique(scene, ['color']), ...unique(scene, ['size', 'color'])].flatMap((target) =>
        unique(scene, ['color', 'shape'])
          .filter((ref) => ref.object.color !== target.object.color)
          .map((ref) => ({
            slots: { ref: phrase(ref.description), target: phrase(target.description, 'one') },
            answer: target.object.shape,
            hint: `${ref.object.shape} ${target.description.size ?? ''}`,
          })),
      ),
  },
  {
    name: 'moreColor',
    type: 'comparison',
    answers: yesNo,
    wordings: ['are there more {c} shapes than {d} ones?', 'do you see more {c} shapes than {d} shapes?'],
    ask: (scene) =>
      orderedPairs(palette(scene)).flatMap(([c, d]) => {
        const difference = countOf(scene, { color: c }) - countOf(scene, { color: d });
        return difference === 0 ? [] : { slots: { c, d }, answer: answerOf(difference > 0), hint: '' };
      }),
  },
  {
    name: 'larger',
    type: 'comparison',
    answers: yesNo,
    wordings: ['is the {a} larger than the {b}?', 'does the {a} look larger than the {b}?'],
    ask: (scene) =>
      pairs(scene).flatMap(([a, b]) =>
        a.object.size === b.object.size
          ? []
          : {
              slots: { a: phrase(a.description), b: phrase(b.description) },
              answer: answerOf(sizes.indexOf(a.object.size) > sizes.indexOf(b.object.size)),
              hint: '',
            },
      ),
  },
  {
    name: 'leftRight',
    type: 'leftRight',
    answers: yesNo,
    wordings: ['is the {a} {sideways} the {b}?', 'does the {a} stand {sideways} the {b}?'],
    ask: (scene) => related(scene, 'sideways', ['left', 'right']),
  },
  {
    name: 'aboveBelow',
    type: 'aboveBelow',
    answers: yesNo,
    wordings: ['is the {a} {upright} the {b}?', 'does the {a} stand {upright} the {b}?'],
    ask: (scene) => related(scene, 'upright', ['above', 'below']),
  },
];

const named = (...names: string[]): QuestionTemplate[] => questionTemplates.filter(({ name }) => names.includes(name));

/** A scene's questions: one of each row, of the first of its templates, in random order, that can be asked. */
export const questionPlan: readonly (readonly QuestionTemplate[])[] = [
  named('existence'),
  named('color'),
  named('shape'),
  named('color', 'shape'),
  named('countColor', 'countShape'),
  named('moreColor', 'larger', 'leftRight', 'aboveBelow'),
];

/** Every answer that a question can have, sorted: the answer table. */
export const allAnswers: readonly string[] = [...new Set(questionTemplates.flatMap(({ answers }) => answers))].sort();

const patterns = questionTemplates.map((template) => ({ template, patterns: template.wordings.map(wordingPattern) }));

/** The template that makes this sentence, or undefined for a caption or foreign question. */
export function questionTemplate(sentence: string): QuestionTemplate | undefined {
  return patterns.find((entry) => entry.patterns.some((pattern) => pattern.test(sentence)))?.template;
}

/** What a question of the synthetic scenes asks for, told by its wording; undefined for any other sentence. */
export function questionType(sentence: string): QuestionType | undefined {
  return questionTemplate(sentence)?.type;
}

/** Puts a question into words. */
export function word(template: QuestionTemplate, asked: Asked, choice: number): string {
  return fill(template.wordings[choice % template.wordings.length], asked.slots);
}
