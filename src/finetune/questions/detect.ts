import { readJsonArray } from '../../formats/jsonArray.js';
import { LxmertError } from '../../errors.js';
import { readHead } from '../../formats/chunks.js';
import { isRecord } from '../../records.js';
import { readJsonObject } from '../../formats/jsonObject.js';
import type { QuestionTask } from './question.js';
import { officialVqaPart } from './vqa.js';

/** Thrown and caught in this file, to stop reading after the first element. */
const enough = new Error('enough');

/**
 * Recognises the form of a file by the fields of its first question.
 * @throws BAD_DATA if it has no form that `readQuestions` can read; FILE_MISSING, FILE_ACCESS
 */
export async function detectTask(file: string, signal?: AbortSignal): Promise<QuestionTask> {
  const head = (await readHead(file, 'questions'))
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  const task = head.startsWith('{')
    ? (taskOfFields(firstLine(head)) ?? (await taskOfObject(file, signal)))
    : taskOfFields(await firstElement(file, signal));
  if (task !== undefined) return task;
  throw new LxmertError(
    'BAD_DATA',
    `${file}: it has no known form of questions: a question must have question_id and img_id (VQA, GQA), identifier ` +
      '(NLVR2), or id and question (data of your own)',
  );
}

function taskOfFields(first: unknown): QuestionTask | undefined {
  if (!isRecord(first)) return undefined;
  if ('question_id' in first) return typeof first.question_id === 'string' ? 'gqa' : 'vqa';
  if ('identifier' in first) return 'nlvr2';
  return 'id' in first && 'question' in first ? 'qa' : undefined;
}

/** The JSON value of the first line; undefined if the first line is not a JSON value. */
function firstLine(head: string): unknown {
  try {
    return JSON.parse(head.split('\n', 1)[0]);
  } catch {
    return undefined;
  }
}

async function firstElement(file: string, signal?: AbortSignal): Promise<unknown> {
  let first: unknown;
  const take = (element: unknown): never => {
    first = element;
    throw enough;
  };
  await readJsonArray(file, 'questions', take, signal).catch(ignoreEnough);
  return first;
}

async function taskOfObject(file: string, signal?: AbortSignal): Promise<QuestionTask | undefined> {
  let first: unknown;
  const onEntry = (_: string, value: unknown): never => {
    first = value;
    throw enough;
  };
  const lists = { questions: () => undefined, annotations: () => undefined };
  await readJsonObject(file, 'questions', { onEntry, lists }, signal).catch(ignoreEnough);
  if (isRecord(first) && 'imageId' in first) return 'gqa';
  return (await officialVqaPart(file, signal)) === undefined ? undefined : 'vqa';
}

function ignoreEnough(error: unknown): void {
  if (error !== enough) throw error;
}
