import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import { readJson } from '../../formats/json.js';
import { isRecord } from '../../records.js';
import { normalizeAnswer } from '../../text/normalizeAnswer.js';

/** The answers of pre-training, by index. */
export class AnswerTable {
  readonly answers: readonly string[];
  /** The index of each normal form. */
  readonly #ids: ReadonlyMap<string, number>;

  /** Throws BAD_ARGUMENT if the same answer, with equal spelling, occurs twice. */
  constructor(answers: readonly string[]) {
    const [first, second] = findTwice(answers) ?? [];
    if (first !== undefined && second !== undefined) {
      throw new LxmertError(
        'BAD_ARGUMENT',
        `answer table: ${describeValue(answers[first])} is both number ${first} and number ${second}`,
      );
    }
    const ids = new Map<string, number>();
    for (const [id, answer] of answers.entries()) if (normalizeAnswer(answer) === answer) ids.set(answer, id);
    // An entry such as "Yes" is not its own normal form. Its normal form "yes" gets the index of this entry if neither
    // an entry "yes" nor an earlier entry with this normal form exists.
    for (const [id, answer] of answers.entries()) {
      const normal = normalizeAnswer(answer);
      if (!ids.has(normal)) ids.set(normal, id);
    }
    this.answers = answers;
    this.#ids = ids;
  }

  get size(): number {
    return this.answers.length;
  }

  /** Number of entries that no label can have, because another entry has the same normal form ("grey" and "gray"). */
  get unreachable(): number {
    return this.answers.length - this.#ids.size;
  }

  /** Index of an answer, compared in the normal form; -1 if it is not in the table. */
  idOf(answer: string): number {
    return this.#ids.get(normalizeAnswer(answer)) ?? -1;
  }
}

/** The two positions of an answer that occurs twice; undefined if there is none. */
function findTwice(answers: readonly string[]): readonly [number, number] | undefined {
  const seen = new Map<string, number>();
  for (const [id, answer] of answers.entries()) {
    const earlier = seen.get(answer);
    if (earlier !== undefined) return [earlier, id];
    seen.set(answer, id);
  }
  return undefined;
}

/**
 * Reads `all_ans.json`: `[{"ans": "yes", "dsets": ["vqa", "gqa"]}, …]`, or a list of strings. The position is the
 * index. `dsets` is not used and may be missing. Rejects with FILE_MISSING, FILE_ACCESS or BAD_DATA.
 */
export async function readAnswerTable(file: string): Promise<AnswerTable> {
  const parsed = await readJson(file, 'the answer table');
  const bad = (path: string, expected: string, found: unknown) =>
    new LxmertError('BAD_DATA', `${file}: ${path || 'the file'} must be ${expected}, found ${describeValue(found)}`);
  if (!Array.isArray(parsed)) throw bad('', 'a list of answers: {"ans": "yes"} or "yes"', parsed);
  const answers = parsed.map((entry: unknown, i) => {
    if (typeof entry !== 'string' && !isRecord(entry)) throw bad(`[${i}]`, '{"ans": "yes"} or "yes"', entry);
    const answer = isRecord(entry) ? entry.ans : entry;
    if (typeof answer !== 'string' || answer === '')
      throw bad(`[${i}]${isRecord(entry) ? '.ans' : ''}`, 'a string that is not empty', answer);
    return answer;
  });
  if (answers.length === 0) throw new LxmertError('BAD_DATA', `${file}: no answers in it`);
  const [first, second] = findTwice(answers) ?? [];
  if (first !== undefined && second !== undefined) {
    const place = (i: number) => `[${i}]${isRecord(parsed[i]) ? '.ans' : ''}`;
    throw new LxmertError(
      'BAD_DATA',
      `${file}: ${place(second)} is ${describeValue(answers[second])}, as ${place(first)} already was`,
    );
  }
  return new AnswerTable(answers);
}
