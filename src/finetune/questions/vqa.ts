import { readJsonArray } from '../../formats/jsonArray.js';
import { LxmertError } from '../../errors.js';
import { softLabels } from '../scores/annotators.js';
import { normalizeVqaAnswer } from '../scores/vqaAnswer.js';
import { isRecord } from '../../records.js';
import { fieldsOf, scoredAnswers, typesOf, wholeNumberId } from './fields.js';
import type { Fields } from './fields.js';
import { readJsonObject } from '../../formats/jsonObject.js';
import type { OnQuestion, Question } from './question.js';

const hint = ", as VQA's question ids are";
const typeNames = ['answer_type', 'question_type'] as const;

/** Reads VQA of the original's repository: `[{question_id, img_id, sent, label?, answer_type?, question_type?}, …]`. */
export function readOriginalVqa(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const take = (element: unknown, index: number): void => {
    const place = `[${index}]`;
    const fields = fieldsOf(element, file, place);
    onQuestion(
      {
        id: wholeNumberId(fields, 'question_id', hint),
        imageIds: [fields.text('img_id')],
        sentence: fields.text('sent'),
        labels: scoredAnswers(fields, 'label'),
        annotators: undefined,
        mainAnswer: undefined,
        types: typesOf(fields, typeNames),
      },
      `${place}.question_id`,
    );
  };
  return readJsonArray(file, 'VQA questions', take, signal);
}

/** The contents of an official VQA file. */
export type OfficialVqaPart = 'questions' | 'annotations';

/** Thrown and caught in this file, to stop reading early. */
const enough = new Error('enough');

async function readUntilEnough(reading: Promise<void>): Promise<void> {
  await reading.catch((error: unknown) => {
    if (error !== enough) throw error;
  });
}

/** Returns which official file of VQA a JSON object is; undefined if it is neither of the two. */
export async function officialVqaPart(file: string, signal?: AbortSignal): Promise<OfficialVqaPart | undefined> {
  let part: OfficialVqaPart | undefined;
  const found = (name: OfficialVqaPart) => (): never => {
    part = name;
    throw enough;
  };
  const onEntry = (key: string, value: unknown): void => {
    if ((key === 'questions' || key === 'annotations') && Array.isArray(value)) found(key)();
  };
  const lists = { questions: found('questions'), annotations: found('annotations') };
  await readUntilEnough(readJsonObject(file, 'VQA questions or annotations', { onEntry, lists }, signal));
  return part;
}

/**
 * Returns the part of COCO that an official file is about, as in the names of its pictures: `train2014`, `val2014` or
 * `test2015`. This field may be before or after the questions in the file.
 */
async function readSubtype(file: string, list: OfficialVqaPart, signal?: AbortSignal): Promise<string> {
  let subtype: unknown;
  const onEntry = (key: string, value: unknown): void => {
    if (key !== 'data_subtype') return;
    subtype = value;
    throw enough;
  };
  const lists = { [list]: () => undefined };
  await readUntilEnough(readJsonObject(file, `VQA ${list}`, { onEntry, lists }, signal));
  if (typeof subtype !== 'string' || subtype === '') {
    throw new LxmertError('BAD_DATA', `${file}: has no data_subtype (such as "train2014"), which names the pictures`);
  }
  // The questions of test-dev are about pictures of test2015.
  return subtype.startsWith('test') ? 'test2015' : subtype;
}

const cocoName = (subtype: string, fields: Fields): string =>
  `COCO_${subtype}_${wholeNumberId(fields, 'image_id').padStart(12, '0')}`;

/** The fields of a question that come from its official annotation. */
type Annotation = Pick<Question, 'labels' | 'annotators' | 'mainAnswer' | 'types'>;

function annotationOf(fields: Fields, intern: (text: string) => string): Annotation {
  const answers = fields.get('answers');
  if (!Array.isArray(answers) || answers.length === 0) throw fields.bad('answers', "a list of the annotators' answers");
  const annotators = answers.map((given: unknown, i) => {
    const answer = isRecord(given) ? given.answer : undefined;
    if (typeof answer !== 'string') throw fields.bad(`answers[${i}].answer`, 'a string', answer);
    return intern(answer);
  });
  const main = fields.optionalText('multiple_choice_answer');
  const labels = softLabels(annotators).map(({ answer, score }) => ({ answer: intern(answer), score }));
  const types = Object.entries(typesOf(fields, typeNames)).map(([name, value]): [string, string] => [
    name,
    intern(value),
  ]);
  return {
    labels,
    annotators,
    mainAnswer: main === undefined ? undefined : intern(normalizeVqaAnswer(main)),
    types: Object.fromEntries(types),
  };
}

/** Keeps one copy of equal strings, because the same few answers occur millions of times. */
function interner(): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const earlier = known.get(text);
    if (earlier !== undefined) return earlier;
    known.set(text, text);
    return text;
  };
}

type OnAnnotation = (fields: Fields, annotation: Annotation, place: string) => void;

function readAnnotations(file: string, onAnnotation: OnAnnotation, signal?: AbortSignal): Promise<void> {
  const intern = interner();
  const annotations = (element: unknown, index: number): void => {
    const place = `annotations[${index}]`;
    const fields = fieldsOf(element, file, place);
    onAnnotation(fields, annotationOf(fields, intern), place);
  };
  return readJsonObject(file, 'VQA annotations', { onEntry: () => undefined, lists: { annotations } }, signal);
}

/** The files of official VQA. At least one must be given. */
export interface OfficialVqaFiles {
  readonly questions: string | undefined;
  readonly annotations: string | undefined;
}

/**
 * Reads official VQA: `{data_subtype, questions: [{question_id, image_id, question}]}` and, in another file,
 * `{annotations: [{question_id, image_id, answers: [{answer}], answer_type, question_type, multiple_choice_answer}]}`.
 * If only the annotation file is given, the questions have no sentences.
 */
export async function readOfficialVqa(
  { questions, annotations }: OfficialVqaFiles,
  onQuestion: OnQuestion,
  signal?: AbortSignal,
): Promise<void> {
  if (questions === undefined) {
    const file = annotations!;
    const subtype = await readSubtype(file, 'annotations', signal);
    const take: OnAnnotation = (fields, annotation, place) => {
      const id = wholeNumberId(fields, 'question_id', hint);
      onQuestion({ id, imageIds: [cocoName(subtype, fields)], sentence: '', ...annotation }, `${place}.question_id`);
    };
    return readAnnotations(file, take, signal);
  }
  const known = new Map<string, Annotation>();
  if (annotations !== undefined) {
    const keep: OnAnnotation = (fields, annotation) => {
      const id = wholeNumberId(fields, 'question_id', hint);
      if (known.has(id)) throw fields.bad('question_id', 'an id that occurs only once in the file', Number(id));
      known.set(id, annotation);
    };
    await readAnnotations(annotations, keep, signal);
  }
  const none: Annotation = { labels: undefined, annotators: undefined, mainAnswer: undefined, types: {} };
  const subtype = await readSubtype(questions, 'questions', signal);
  const take = (element: unknown, index: number): void => {
    const place = `questions[${index}]`;
    const fields = fieldsOf(element, questions, place);
    const id = wholeNumberId(fields, 'question_id', hint);
    const annotation = annotations === undefined ? none : known.get(id);
    if (annotation === undefined) {
      throw new LxmertError(
        'BAD_DATA',
        `${annotations}: has no annotation of question ${id}, ${place} of ${questions}`,
      );
    }
    onQuestion(
      { id, imageIds: [cocoName(subtype, fields)], sentence: fields.text('question'), ...annotation },
      `${place}.question_id`,
    );
  };
  await readJsonObject(questions, 'VQA questions', { onEntry: () => undefined, lists: { questions: take } }, signal);
}
