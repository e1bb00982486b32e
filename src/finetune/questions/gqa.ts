import { readJsonArray } from '../../formats/jsonArray.js';
import { isRecord } from '../../records.js';
import { fieldsOf, scoredAnswers, typesOf } from './fields.js';
import type { Fields } from './fields.js';
import { readJsonObject } from '../../formats/jsonObject.js';
import type { OnQuestion } from './question.js';

/** Reads an id of GQA. It must be a string, because a number would lose leading zeros. */
function questionId(fields: Fields): string {
  const id = fields.get('question_id');
  if (typeof id === 'number')
    throw fields.bad('question_id', 'a string such as "07333408": its leading zeros are needed');
  return fields.text('question_id');
}

/** Reads GQA in the form of the original's repository: `[{question_id, img_id, sent, label?}, …]`. */
export function readOriginalGqa(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const take = (element: unknown, index: number): void => {
    const place = `[${index}]`;
    const fields = fieldsOf(element, file, place);
    onQuestion(
      {
        id: questionId(fields),
        imageIds: [fields.text('img_id')],
        sentence: fields.text('sent'),
        labels: scoredAnswers(fields, 'label'),
        annotators: undefined,
        mainAnswer: undefined,
        types: {},
      },
      `${place}.question_id`,
    );
  };
  return readJsonArray(file, 'GQA questions', take, signal);
}

/**
 * Reads GQA in its published form: `{"07333408": {imageId, question, answer?, types?: {structural, semantic, detailed}},
 * …}`. The questions of the submission files have no answer.
 */
export function readPublishedGqa(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const onEntry = (id: string, value: unknown): void => {
    const place = JSON.stringify(id);
    const fields = fieldsOf(value, file, place);
    const answer = fields.optionalText('answer');
    const types = fields.get('types');
    if (types !== undefined && !isRecord(types)) throw fields.bad('types', 'an object of types');
    const kinds = types && fieldsOf(dropNulls(types), file, `${place}.types`);
    onQuestion(
      {
        id,
        imageIds: [fields.text('imageId')],
        sentence: fields.text('question'),
        labels: answer === undefined ? undefined : [{ answer, score: 1 }],
        annotators: undefined,
        mainAnswer: undefined,
        types: kinds ? typesOf(kinds, ['structural', 'semantic', 'detailed']) : {},
      },
      place,
    );
  };
  return readJsonObject(file, 'GQA questions', { onEntry }, signal);
}

const dropNulls = (types: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(types).filter(([, value]) => value !== null));
