import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { normalizeAnswer } from '../text/normalizeAnswer.js';
import { parseJson } from '../formats/json.js';
import { isRecord } from '../records.js';
import { readTextIfThere } from './jsonFile.js';
import type { SourceTensor, WeightSource } from './source.js';

/** The answer head's last layer: a row an answer. */
export const answerRows = { weight: 'answer_head.logit_fc.3.weight', bias: 'answer_head.logit_fc.3.bias' } as const;

export const isAnswerRow = (name: string): boolean => name === answerRows.weight || name === answerRows.bias;

/** Beside weights of ours: the answers of their head. */
const ownList = 'answers.json';

/** Lists of the original's that may lie beside weights. */
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

/** The keys of `{answer: row}` in the order of the rows, or the values of `{row: answer}`; none when rows are left out. */
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
 * The answers of the head of weights: out of `answers.json`, which ours have, or else out of a file of the original's
 * that lists as many as the head has rows.
 * @returns undefined when there is none
 * @throws BAD_DATA for an `answers.json` that is no list of answers
 */
export async function answersBeside({ folder, tensors }: WeightSource): Promise<readonly string[] | undefined> {
  const own = join(folder, ownList);
  const text = await readTextIfThere(own);
  if (text !== undefined) return parseAnswerList(text, own);
  const rows = tensors.get(answerRows.bias)?.shape[0];
  if (rows === undefined) return undefined;
  for (const file of originalLists) {
    // Whatever else has this name is not meant for us.
    const answers = await readAnswerList(join(folder, file)).catch(() => undefined);
    if (answers?.length === rows) return answers;
  }
  return undefined;
}

/**
 * The row of another head's answers that each answer takes, or undefined: answers are compared as the original does it,
 * `normalizeAnswer` of ours against theirs as they stand, and then against theirs normalised as well.
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

/** Rows of a matrix [theirs, width] or vector, one an answer; zeros where there is none. */
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

/** The two tensors of the last layer of a head, where both are there and agree in rows. */
export function answerHead({
  tensors,
}: Pick<WeightSource, 'tensors'>): { readonly weight: SourceTensor; readonly bias: SourceTensor } | undefined {
  const weight = tensors.get(answerRows.weight);
  const bias = tensors.get(answerRows.bias);
  if (!weight || !bias || weight.shape.length !== 2 || bias.shape.length !== 1) return undefined;
  return weight.shape[0] === bias.shape[0] ? { weight, bias } : undefined;
}
