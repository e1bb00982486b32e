import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { normalizeAnswer } from '../text/normalizeAnswer.js';
import { parseJson } from '../formats/json.js';
import { isRecord } from '../records.js';
import { readTextIfThere } from './jsonFile.js';
import type { SourceTensor, WeightSource } from './source.js';

/** The last layer of the answer head, which has one row for each answer. */
export const answerRows = { weight: 'answer_head.logit_fc.3.weight', bias: 'answer_head.logit_fc.3.bias' } as const;

export const isAnswerRow = (name: string): boolean => name === answerRows.weight || name === answerRows.bias;

/** The file with the answers of the head, which lxmert writes beside weights. */
const ownList = 'answers.json';

/** Answer lists of the original that may be beside weights. */
const originalLists = ['all_ans.json', 'label2ans.json', 'trainval_label2ans.json'];

/**
 * Reads a list of answers, by row: a JSON list of strings (`label2ans.json`), the original's `all_ans.json`
 * (`[{"ans": …}]`), or a map of answers to rows (`ans2label.json`).
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the file
 */
export async function readAnswerList(path: string): Promise<readonly string[]> {
  const text = await readTextIfThere(path);
  if (text === undefined)
    throw new LxmertError('FILE_MISSING', `cannot read ${path}: there is no such file; expected a list of answers`);
  return parseAnswerList(text, path);
}

function parseAnswerList(text: string, path: string): readonly string[] {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${path}: ${reason}`);
  const value = parseJson(text, path);
  const answers: unknown[] = Array.isArray(value)
    ? value.map((item: unknown) => (isRecord(item) ? item.ans : item))
    : isRecord(value)
      ? byRow(value)
      : [];
  if (answers.length === 0) throw bad('expected a list of answers');
  const wrong = answers.findIndex((answer) => typeof answer !== 'string');
  if (wrong >= 0) throw bad(`expected a list of answers; the one of row ${wrong} is no text`);
  return answers as string[];
}

/** The answers of `{answer: row}` or `{row: answer}` in the order of the rows; an empty list if a row is missing. */
function byRow(value: Record<string, unknown>): unknown[] {
  const entries = Object.entries(value);
  const answers = new Array<unknown>(entries.length).fill(undefined);
  for (const [key, item] of entries) {
    const [row, answer] = typeof item === 'number' ? [item, key] : [Number(key), item];
    if (Number.isSafeInteger(row) && row >= 0 && row < answers.length) answers[row] = answer;
  }
  return answers;
}

/**
 * The answers of the head, from `answers.json`, which lxmert writes, or otherwise from a file of the original with as
 * many answers as the head has rows.
 * @returns undefined if there is no such file
 * @throws BAD_DATA for an `answers.json` that is not a list of answers
 */
export async function answersBeside({ folder, tensors }: WeightSource): Promise<readonly string[] | undefined> {
  const own = join(folder, ownList);
  const text = await readTextIfThere(own);
  if (text !== undefined) return parseAnswerList(text, own);
  const rows = tensors.get(answerRows.bias)?.shape[0];
  if (rows === undefined) return undefined;
  for (const file of originalLists) {
    // A file with this name may be something else, so an error is ignored.
    const answers = await readAnswerList(join(folder, file)).catch(() => undefined);
    if (answers?.length === rows) return answers;
  }
  return undefined;
}

/**
 * For each of our answers, finds the row of another head, or undefined. Answers are compared as in the original: our
 * answer after `normalizeAnswer` is compared with their answers, first unchanged and then normalised.
 */
export function matchAnswers(ours: readonly string[], theirs: readonly string[]): readonly (number | undefined)[] {
  const exact = new Map<string, number>();
  const normalized = new Map<string, number>();
  for (const [row, answer] of theirs.entries()) {
    exact.set(answer, row);
    const form = normalizeAnswer(answer);
    if (!normalized.has(form)) normalized.set(form, row);
  }
  return ours.map((answer) => {
    const form = normalizeAnswer(answer);
    return exact.get(form) ?? normalized.get(form);
  });
}

/** Copies the given rows of a matrix [theirs, width] or a vector, one row for each answer. Without a row it writes zeros. */
export function takeRows(
  source: Float32Array,
  width: number,
  rows: readonly (number | undefined)[],
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(rows.length * width);
  for (const [to, from] of rows.entries())
    if (from !== undefined) values.set(source.subarray(from * width, (from + 1) * width), to * width);
  return values;
}

/** The two tensors of the last layer of a head; undefined unless both exist and have the same number of rows. */
export function answerHead({
  tensors,
}: Pick<WeightSource, 'tensors'>): { readonly weight: SourceTensor; readonly bias: SourceTensor } | undefined {
  const weight = tensors.get(answerRows.weight);
  const bias = tensors.get(answerRows.bias);
  if (!weight || !bias || weight.shape.length !== 2 || bias.shape.length !== 1) return undefined;
  return weight.shape[0] === bias.shape[0] ? { weight, bias } : undefined;
}
