import { colors, shapes, sizes } from './world.js';
import type { Scene, SceneObject } from './world.js';
import { countOf, fits, halves, numbered, orderedPairs, palette, phrase, relations, unique } from './descriptions.js';
import type { Half, Relation } from './descriptions.js';
import { fill, wordingPattern } from './wordings.js';
import type { Slots } from './wordings.js';

export const questionTypes = [
  'existence',
  'counting',
  'color',
  'shape',
  'comparison',
  'place',
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

/** Whether a relation holds of two objects. */
type Holds = (a: SceneObject, b: SceneObject) => boolean;

/** In which of two opposite halves one thing is. */
function whichHalf(scene: Scene, names: readonly Half[]): Asked[] {
  return unique(scene, ['color', 'shape']).flatMap(({ object, description }) =>
    names
      .filter((name) => halves[name].holds(scene, object))
      .map((name) => ({ slots: { a: phrase(description) }, answer: halves[name].phrase, hint: '' })),
  );
}

/**
 * Which of two opposite relations holds between two things of different colours. The second is named by its colour alone,
 * so that the words say which of the two is which.
 */
function whichHolds(scene: Scene, relation: Readonly<Record<string, Holds>>): Asked[] {
  const others = unique(scene, ['color']);
  return unique(scene, ['color', 'shape']).flatMap((a) =>
    others
      .filter((b) => b.object.color !== a.object.color)
      .flatMap((b) =>
        Object.entries(relation)
          .filter(([, holds]) => holds(a.object, b.object))
          .map(([answer]) => ({
            slots: { a: phrase(a.description), b: phrase(b.description, 'one') },
            answer,
            hint: '',
          })),
      ),
  );
}

/** The same of two places. */
const whichPlace = (scene: Scene, [one, other]: readonly [Relation, Relation]): Asked[] =>
  whichHolds(scene, { [one]: relations[one].holds, [other]: relations[other].holds });

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
    wordings: ['how many shapes are {c}?', 'how many {c} shapes are there?', 'how many {c} shapes do you see?'],
    ask: (scene) =>
      palette(scene).map((color) => ({
        slots: { c: color },
        answer: String(countOf(scene, { color })),
        hint: '',
      })),
  },
  {
    name: 'countShape',
    type: 'counting',
    answers: counts,
    wordings: ['how many {shapes} are there?', 'how many {shapes} do you see?', 'how many shapes are {shapes}?'],
    ask: (scene) =>
      shapes
        .filter((shape) => countOf(scene, { shape }) > 0)
        .map((shape) => ({
          slots: { shapes: numbered(shape, 2) },
          answer: String(countOf(scene, { shape })),
          hint: '',
        })),
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
    name: 'mostColor',
    type: 'comparison',
    answers: colors,
    wordings: ['what color are most shapes?', 'what color do most shapes have?', 'which color do you see most?'],
    ask: (scene) =>
      orderedPairs(palette(scene))
        .filter(([c, d]) => countOf(scene, { color: c }) > countOf(scene, { color: d }))
        .map(([color]) => ({ slots: {}, answer: color, hint: '' })),
  },
  {
    name: 'larger',
    type: 'comparison',
    answers: ['larger', 'smaller'],
    wordings: ['is the {a} larger or smaller than the {b}?', 'does the {a} look larger or smaller than the {b}?'],
    ask: (scene) =>
      whichHolds(scene, {
        larger: (a, b) => sizes.indexOf(a.size) > sizes.indexOf(b.size),
        smaller: (a, b) => sizes.indexOf(a.size) < sizes.indexOf(b.size),
      }),
  },
  {
    name: 'side',
    type: 'place',
    answers: ['left', 'right'],
    wordings: ['is the {a} in the left or the right half?', 'does the {a} stand in the left or the right half?'],
    ask: (scene) => whichHalf(scene, ['left', 'right']),
  },
  {
    name: 'level',
    type: 'place',
    answers: ['upper', 'lower'],
    wordings: ['is the {a} in the upper or the lower half?', 'does the {a} stand in the upper or the lower half?'],
    ask: (scene) => whichHalf(scene, ['upper', 'lower']),
  },
  {
    name: 'leftRight',
    type: 'leftRight',
    answers: ['left', 'right'],
    wordings: ['is the {a} left or right of the {b}?', 'does the {a} stand left or right of the {b}?'],
    ask: (scene) => whichPlace(scene, ['left', 'right']),
  },
  {
    name: 'aboveBelow',
    type: 'aboveBelow',
    answers: ['above', 'below'],
    wordings: ['is the {a} above or below the {b}?', 'does the {a} stand above or below the {b}?'],
    ask: (scene) => whichPlace(scene, ['above', 'below']),
  },
];

const named = (...names: string[]): QuestionTemplate[] => questionTemplates.filter(({ name }) => names.includes(name));

/** A scene's questions: one of each row, of the first of its templates, in random order, that can be asked. */
export const questionPlan: readonly (readonly QuestionTemplate[])[] = [
  named('existence'),
  named('color', 'shape'),
  named('countColor'),
  named('countShape'),
  named('mostColor'),
  named('larger'),
  named('side'),
  named('level'),
  named('leftRight'),
  named('aboveBelow'),
  named('leftRight', 'aboveBelow'),
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
