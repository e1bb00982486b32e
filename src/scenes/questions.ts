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

/** The types of questions. Accuracies are reported for each type. */
export type QuestionType = (typeof questionTypes)[number];

/** The contents of one question about a scene, without its wording. */
export interface Asked {
  readonly slots: Slots;
  readonly answer: string;
  /**
   * The part of the question that could suggest an answer. Answers are balanced for each hint, too. For example, the answer
   * to "what color is the circle with the red star?" must not be "red" more often than other colours.
   */
  readonly hint: string;
}

/** A kind of questions with several wordings. */
export interface QuestionTemplate {
  readonly name: string;
  readonly type: QuestionType;
  /** All answers. Each is the right answer about equally often. */
  readonly answers: readonly string[];
  readonly wordings: readonly string[];
  /** Returns all questions of this kind about a scene. */
  readonly ask: (scene: Scene) => Asked[];
}

const yesNo = ['yes', 'no'] as const;
const counts = ['1', '2', '3'] as const;
const answerOf = (truth: boolean): string => (truth ? 'yes' : 'no');

/** Whether a relation between two objects is true. */
type Holds = (a: SceneObject, b: SceneObject) => boolean;

/** Questions about the half in which one object is. */
function whichHalf(scene: Scene, names: readonly Half[]): Asked[] {
  return unique(scene, ['color', 'shape']).flatMap(({ object, description }) =>
    names
      .filter((name) => halves[name].holds(scene, object))
      .map((name) => ({ slots: { a: phrase(description) }, answer: halves[name].phrase, hint: '' })),
  );
}

/**
 * Questions about which of two opposite relations is true for two objects of different colours. The second object is
 * described only by its colour. So the form of the phrases shows which object is the first and which is the second.
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

/** Questions about the relative places of two objects. */
const whichPlace = (scene: Scene, [one, other]: readonly [Relation, Relation]): Asked[] =>
  whichHolds(scene, { [one]: relations[one].holds, [other]: relations[other].holds });

/**
 * The templates. In nearly all templates the question names something else in the picture (a colour, another object). So
 * matching can learn from most questions whether they belong to the picture.
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

/** The questions of a scene. Each row gives one question: of the first template, in random order, that fits the scene. */
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

/** The answer table: all answers of all templates, sorted. */
export const allAnswers: readonly string[] = [...new Set(questionTemplates.flatMap(({ answers }) => answers))].sort();

const patterns = questionTemplates.map((template) => ({ template, patterns: template.wordings.map(wordingPattern) }));

/** The template that makes this sentence; undefined for a caption or a question of other data. */
export function questionTemplate(sentence: string): QuestionTemplate | undefined {
  return patterns.find((entry) => entry.patterns.some((pattern) => pattern.test(sentence)))?.template;
}

/** The type of a question of the synthetic scenes, recognised by its wording; undefined for any other sentence. */
export function questionType(sentence: string): QuestionType | undefined {
  return questionTemplate(sentence)?.type;
}

/** Makes the sentence of a question. */
export function word(template: QuestionTemplate, asked: Asked, choice: number): string {
  return fill(template.wordings[choice % template.wordings.length], asked.slots);
}
