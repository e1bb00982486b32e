import { readJsonArray } from '../../formats/jsonArray.js';
import { softLabels } from '../scores/annotators.js';
import { fieldsOf, scoredAnswers, typesOf } from './fields.js';
import type { Fields } from './fields.js';
import { readJsonLines } from '../../formats/lines.js';
import type { OnQuestion, Question } from './question.js';

/** With fewer annotators no answer could have the score 1, because it must equal the answers of three other annotators. */
const fewestAnnotators = 4;

const known = ['id', 'image', 'images', 'question', 'answer', 'answers', 'type'] as const;

function idOf(fields: Fields): string {
  const id = fields.get('id');
  if (Number.isSafeInteger(id)) return String(id);
  if (typeof id !== 'string' || id === '') throw fields.bad('id', 'a string that is not empty, or a whole number');
  return id;
}

/** Reads `"image": "a"` or `"images": ["a", "b"]`. */
function imagesOf(fields: Fields): string[] {
  if (!fields.has('images')) return [fields.text('image')];
  const images = fields.get('images');
  if (fields.has('image')) throw fields.bad('images', "left out beside 'image'");
  if (!Array.isArray(images) || images.length < 1 || images.length > 2)
    throw fields.bad('images', 'a list of one or two images');
  return images.map((image: unknown, i) => {
    if (typeof image !== 'string' || image === '')
      throw fields.bad(`images[${i}]`, 'a string that is not empty', image);
    return image;
  });
}

/** Reads `"answer": "red"`, `"answers": {"red": 1, "pink": 0.3}`, or annotators' `"answers": ["red", "red", "pink", …]`. */
function answersOf(fields: Fields): Pick<Question, 'labels' | 'annotators'> {
  const answers = fields.get('answers');
  if (fields.has('answer')) {
    if (answers !== undefined) throw fields.bad('answers', "left out beside 'answer'");
    return { labels: [{ answer: fields.text('answer'), score: 1 }], annotators: undefined };
  }
  if (!Array.isArray(answers)) return { labels: scoredAnswers(fields, 'answers'), annotators: undefined };
  if (answers.length < fewestAnnotators) {
    const expected = `a list of at least ${fewestAnnotators} annotators' answers, or an object of answers and scores`;
    throw fields.bad('answers', expected);
  }
  const annotators = answers.map((answer: unknown, i) => {
    if (typeof answer !== 'string') throw fields.bad(`answers[${i}]`, 'a string', answer);
    return answer;
  });
  return { labels: softLabels(annotators), annotators };
}

function questionOf(fields: Fields): Question {
  const unknown = fields.names.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) throw fields.bad(unknown, `left out: the fields of a question are ${known.join(', ')}`);
  return {
    id: idOf(fields),
    imageIds: imagesOf(fields),
    sentence: fields.text('question'),
    ...answersOf(fields),
    mainAnswer: undefined,
    types: typesOf(fields, ['type']),
  };
}

/** Reads the user's own data from a JSON list: `[{id, image, question, answer, type?}, …]`. */
export function readOwnList(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const take = (element: unknown, index: number): void =>
    onQuestion(questionOf(fieldsOf(element, file, `[${index}]`)), `[${index}].id`);
  return readJsonArray(file, 'questions', take, signal);
}

/** Reads the user's own data from a file with one JSON object a line. */
export function readOwnLines(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const take = (value: unknown, line: number): void =>
    onQuestion(questionOf(fieldsOf(value, file, `line ${line}`)), `line ${line}: id`);
  return readJsonLines(file, 'questions', take, signal);
}
