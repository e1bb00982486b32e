import { readJsonArray } from '../../formats/jsonArray.js';
import { describeValue } from '../../formats/describe.js';
import { LxmertError } from '../../errors.js';
import { fieldsOf, wholeNumberId } from '../questions/fields.js';
import type { Fields } from '../questions/fields.js';
import { readHead } from '../../formats/chunks.js';
import { readJsonLines, readLines } from '../../formats/lines.js';
import { nlvr2Answers } from '../questions/question.js';
import type { QuestionTask } from '../questions/question.js';

/** The predicted answer of each question, by question id, in the order of the file. */
export type Predictions = ReadonlyMap<string, string>;

/** Names of the fields of the JSON forms. */
export const predictionFields = {
  vqa: { id: 'question_id', answer: 'answer' },
  gqa: { id: 'questionId', answer: 'prediction' },
  qa: { id: 'id', answer: 'answer' },
} as const;

type JsonTask = keyof typeof predictionFields;

function idOf(task: JsonTask, fields: Fields): string {
  const { id } = predictionFields[task];
  const given = fields.get(id);
  if (task === 'vqa') return wholeNumberId(fields, id, ", as VQA's question ids are");
  if (task === 'qa' && Number.isSafeInteger(given)) return String(given);
  if (task === 'gqa' && typeof given === 'number') {
    throw fields.bad(id, 'a string such as "07333408": its leading zeros are needed');
  }
  return fields.text(id);
}

/**
 * Reads a prediction file in the official form of its task: VQA `[{question_id, answer}]`, GQA `[{questionId, prediction}]`,
 * NLVR2 lines `identifier,True`; for the user's own data `[{id, answer}]`, or one object a line.
 * @throws BAD_DATA naming file, line or element, and field, also for an id that occurs twice; FILE_MISSING, FILE_ACCESS
 */
export async function readPredictions(task: QuestionTask, file: string, signal?: AbortSignal): Promise<Predictions> {
  const predictions = new Map<string, string>();
  const take = (id: string, answer: string, place: string): void => {
    if (predictions.has(id)) {
      throw new LxmertError('BAD_DATA', `${file}: ${place}: this is a second prediction of ${id}; one was expected`);
    }
    predictions.set(id, answer);
  };
  if (task === 'nlvr2') await readNlvr2(file, take, signal);
  else {
    const takeElement = (element: unknown, place: string): void => {
      const fields = fieldsOf(element, file, place);
      const { answer: name } = predictionFields[task];
      const answer = fields.get(name);
      if (typeof answer !== 'string') throw fields.bad(name, 'a string');
      take(idOf(task, fields), answer, place);
    };
    const isLines = task === 'qa' && /^\uFEFF?\s*\{/.test((await readHead(file, 'predictions')).toString('utf8'));
    await (isLines
      ? readJsonLines(file, 'predictions', (value, line) => takeElement(value, `line ${line}`), signal)
      : readJsonArray(file, 'predictions', (element, index) => takeElement(element, `[${index}]`), signal));
  }
  if (predictions.size === 0) throw new LxmertError('BAD_DATA', `${file}: no predictions in it`);
  return predictions;
}

function readNlvr2(
  file: string,
  take: (id: string, answer: string, place: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const takeLine = (line: string, number: number): void => {
    if (line.trim() === '') return;
    const [id, said, ...more] = line.split(',').map((field) => field.trim());
    const answer = nlvr2Answers.find((one) => one.toLowerCase() === said?.toLowerCase());
    if (id === '' || answer === undefined || more.length > 0) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: line ${number} must be "identifier,True" or "identifier,False", found ${describeValue(line)}`,
      );
    }
    take(id, answer, `line ${number}`);
  };
  return readLines(file, 'NLVR2 predictions', takeLine, signal);
}
