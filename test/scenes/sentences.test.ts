import { describe, expect, test } from '@jest/globals';
import { AnswerBalance, languageOnlyMajority, maxLead } from '../../src/scenes/balance.js';
import { captionsPerScene } from '../../src/scenes/captions.js';
import {
  allAnswers,
  questionPlan,
  questionTemplates,
  questionType,
  questionTypes,
} from '../../src/scenes/questions.js';
import { makeSentences } from '../../src/scenes/sentences.js';
import { fill, wordingPattern } from '../../src/scenes/wordings.js';
import { bertBaseUncased } from '../../src/text/vocabulary.js';
import { answer, isTrue } from './evaluator.js';
import { mean, tell } from './support.js';

const told = tell(3000);
const valid = tell(1000, { split: 'valid' });
const questions = told.flatMap(({ sentences }) => sentences.questions);
const captions = told.flatMap(({ sentences }) => sentences.captions);

describe('captions', () => {
  test('are four for each scene, all different and all true', () => {
    expect(told.filter(({ sentences }) => new Set(sentences.captions).size !== captionsPerScene)).toEqual([]);
    const wrong = told.flatMap(({ scene, sentences }) =>
      sentences.captions.filter((caption) => isTrue(scene, caption) !== true).map((caption) => ({ caption, scene })),
    );
    expect(wrong).toEqual([]);
  });

  test('are seldom true of another picture, so that swapped captions can be recognised', () => {
    const elsewhere = told.flatMap(({ sentences }, k) =>
      sentences.captions.map((caption) => Number(isTrue(told[(k + 1) % told.length].scene, caption) === true)),
    );
    expect(mean(elsewhere)).toBeLessThan(0.06);
  });

  test('describe the picture: usually only one word fits a hidden colour or shape', () => {
    const groups = [
      ['red', 'green', 'blue', 'yellow'],
      ['circle', 'square', 'triangle', 'star'],
    ];
    const determined = told.slice(0, 500).flatMap(({ scene, sentences }) =>
      sentences.captions.flatMap((caption) => {
        const words = caption.split(/\b/);
        return words.flatMap((word, k) => {
          const group = groups.find((some) => some.includes(word));
          if (!group) return [];
          const fitting = group.filter((other) => isTrue(scene, words.with(k, other).join('')) === true);
          return [Number(fitting.length === 1)];
        });
      }),
    );
    expect(mean(determined)).toBeGreaterThan(0.8);
  });
});

describe('questions', () => {
  test('have an answer that agrees with the picture', () => {
    const wrong = [...told, ...valid].flatMap(({ scene, sentences }) =>
      sentences.questions
        .filter((question) => answer(scene, question.sentence) !== question.answer)
        .map((question) => ({ question, scene })),
    );
    expect(wrong).toEqual([]);
  });

  test('are at most eleven for each scene, all different, more than six on average, and of every type', () => {
    const counts = told.map(({ sentences }) => sentences.questions.length);
    expect(told.map(({ sentences }) => new Set(sentences.questions.map(({ sentence }) => sentence)).size)).toEqual(
      counts,
    );
    expect(Math.max(...counts)).toBe(questionPlan.length);
    expect(mean(counts)).toBeGreaterThan(6);
    expect(new Set(questions.map(({ type }) => type))).toEqual(new Set(questionTypes));
  });

  test('have a wording that identifies their type; captions and other sentences have no type', () => {
    expect(questions.filter(({ sentence, type }) => questionType(sentence) !== type)).toEqual([]);
    expect(captions.filter((caption) => questionType(caption) !== undefined)).toEqual([]);
    for (const other of ['', 'what color is the cat?', 'is there a red circle', 'is there a {target}?']) {
      expect(questionType(other)).toBeUndefined();
    }
  });

  test('use each wording of each template', () => {
    for (const template of questionTemplates) {
      for (const wording of template.wordings) {
        const pattern = wordingPattern(wording);
        expect([wording, questions.some(({ sentence }) => pattern.test(sentence))]).toEqual([wording, true]);
      }
    }
  });

  test('have no wording that fits two templates', () => {
    for (const { sentence } of questions) {
      const fitting = questionTemplates.filter(({ wordings }) =>
        wordings.some((w) => wordingPattern(w).test(sentence)),
      );
      expect([sentence, fitting.length]).toEqual([sentence, 1]);
    }
  });
});

describe('balance', () => {
  test.each([
    ['training', told],
    ['validation', valid],
  ])('each answer of a template is given as often as the others (%s)', (_, some) => {
    const asked = some.flatMap(({ sentences }) => sentences.questions);
    for (const { name, answers, wordings } of questionTemplates) {
      const patterns = wordings.map(wordingPattern);
      const own = asked.filter(({ sentence }) => patterns.some((pattern) => pattern.test(sentence)));
      const counts = answers.map((text) => own.filter((question) => question.answer === text).length);
      expect([name, Math.max(...counts) - Math.min(...counts) <= maxLead]).toEqual([name, true]);
      expect(own.length).toBeGreaterThan(some.length / 40);
    }
  });

  test('without the picture, the most frequent answer is right in about 1/n of the cases for n possible answers', () => {
    const asked = valid.flatMap(({ sentences }) => sentences.questions);
    const { majority, questions: counts } = languageOnlyMajority(asked);
    const chance = {
      existence: 1 / 2,
      counting: 1 / 3,
      color: 1 / 4,
      shape: 1 / 4,
      // One of four colours, and larger or smaller.
      comparison: 3 / 8,
      place: 1 / 2,
      leftRight: 1 / 2,
      aboveBelow: 1 / 2,
    };
    for (const [type, share] of Object.entries(chance)) {
      expect(Math.abs(majority[type as 'color']! - share)).toBeLessThan(0.015);
    }
    expect(majority.all).toBeLessThan(0.46);
    expect(counts.all).toBe(asked.length);
  });

  test('counts the given answers', () => {
    const table = languageOnlyMajority([
      { sentence: 'what color is the star with the red circle?', answer: 'red' },
      { sentence: 'what color is the star with the red circle?', answer: 'red' },
      { sentence: 'besides the red star, what color is the circle?', answer: 'blue' },
      { sentence: 'is the red star above or below the blue one?', answer: 'below' },
      { sentence: 'a question of somebody else?', answer: 'no' },
    ]);
    expect(table).toEqual({
      questions: { color: 3, aboveBelow: 1, all: 4 },
      majority: { color: 2 / 3, aboveBelow: 1, all: 3 / 4 },
    });
    expect(languageOnlyMajority([])).toEqual({ questions: {}, majority: {} });
  });

  // Counts the answers of 3,000 scenes by the exact words of the question, and guesses from the counts in 1,000 other scenes.
  test('other words of the question do not help to guess the answer', () => {
    const content = /red|green|blue|yellow|circle|square|triangle|star|small|large|left|right|upper|lower|above|below/g;
    const views: ((sentence: string) => string)[] = [
      (sentence) => sentence,
      (sentence) => `${questionType(sentence)} ${sentence.match(content)?.join(' ')}`,
      (sentence) => `${questionType(sentence)} ${sentence.match(/red|green|blue|yellow/g)?.join(' ')}`,
      (sentence) => `${questionType(sentence)} ${sentence.match(/circle|square|triangle|star/g)?.join(' ')}`,
      (sentence) => `${questionType(sentence)} ${sentence.length}`,
    ];
    const asked = valid.flatMap(({ sentences }) => sentences.questions);
    const floor = languageOnlyMajority(asked).majority.all!;
    for (const view of views) {
      const learnt = new Map<string, Map<string, number>>();
      for (const { sentence, answer: text } of questions) {
        const tally = learnt.get(view(sentence)) ?? new Map<string, number>();
        learnt.set(view(sentence), tally.set(text, (tally.get(text) ?? 0) + 1));
      }
      const hits = asked.map(({ sentence, answer: text }) => {
        const tally = [...(learnt.get(view(sentence)) ?? new Map([['yes', 1]]))];
        return Number(tally.reduce((a, b) => (a[1] >= b[1] ? a : b))[0] === text);
      });
      // The standard deviation of such a share is 0.007.
      expect(mean(hits)).toBeLessThan(floor + 0.03);
    }
  });

  test('the questions of a scene do not depend on how many scenes follow', () => {
    expect(tell(40).map(({ sentences }) => sentences)).toEqual(told.slice(0, 40).map(({ sentences }) => sentences));
  });
});

describe('words', () => {
  test('are single WordPieces of bert-base-uncased, at most 18 in a sentence', async () => {
    const pieces = new Set(await bertBaseUncased());
    const sentences = [...captions, ...questions.map(({ sentence }) => sentence)];
    const words = new Set(sentences.flatMap((sentence) => sentence.match(/\w+|[^\w\s]/g)!));
    expect([...words, ...allAnswers].filter((word) => !pieces.has(word))).toEqual([]);
    expect(Math.max(...sentences.map((sentence) => sentence.match(/\w+|[^\w\s]/g)!.length))).toBeLessThanOrEqual(18);
    expect([...words].filter((word) => word !== word.toLowerCase())).toEqual([]);
  });

  test('are varied: hundreds of different captions and questions', () => {
    expect(new Set(captions).size).toBeGreaterThan(1500);
    expect(new Set(questions.map(({ sentence }) => sentence)).size).toBeGreaterThan(1500);
  });
});

describe('fill', () => {
  test('puts words into slots, and reports an empty slot', () => {
    expect(fill('is there a {target} with the {ref}?', { target: 'star', ref: 'red one' })).toBe(
      'is there a star with the red one?',
    );
    expect(() => fill('is there a {target}?', {})).toThrow('{target}');
  });
});

test('a scene has the same sentences when they are made again with a new balance', () => {
  const [{ scene, sentences }] = told;
  const options = { seed: 0, split: 'train', index: 0, balance: new AnswerBalance() } as const;
  expect(makeSentences(scene, options)).toEqual(sentences);
});
