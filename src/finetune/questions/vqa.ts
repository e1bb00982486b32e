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

/** VQA as the original re-distributes it: `[{question_id, img_id, sent, label?, answer_type?, question_type?}, …]`. */
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

/** What an official VQA file holds. */
export type OfficialVqaPart = 'questions' | 'annotations';

/** Thrown and caught here, to leave a file that has been read far enough. */
const enough = new Error('enough');

async function readUntilEnough(reading: Promise<void>): Promise<void> {
  await reading.catch((error: unknown) => {
    if (error !== enough) throw error;
  });
}

/** Whether a JSON object is an official question file or an official annotation file; undefined when it is neither. */
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
 * The part of COCO that an official file is about, as its pictures are named: `train2014`, `val2014` or `test2015`. The
 * file may say it in front of its questions or behind them.
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

/** What an official annotation says of a question. */
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

/** Keeps one copy of equal strings: the same few answers are given millions of times. */
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

/** The files of official VQA: at least one of the two. */
export interface OfficialVqaFiles {
  readonly questions: string | undefined;
  readonly annotations: string | undefined;
}

/**
 * VQA as published: `{data_subtype, questions: [{question_id, image_id, question}]}` and, in another file,
 * `{annotations: [{question_id, image_id, answers: [{answer}], answer_type, question_type, multiple_choice_answer}]}`.
 * From an annotation file alone come questions without sentences.
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
      if (known.has(id)) throw fields.bad('question_id', 'given once in the file', Number(id));
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
