import { readFile } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import { normalizeAnswer } from '../../text/normalizeAnswer.js';
import { describeValue } from '../../formats/describe.js';

/** The answers of pre-training, by index. */
export class AnswerTable {
  readonly answers: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;

  /** Throws BAD_ARGUMENT when an answer occurs twice. */
  constructor(answers: readonly string[]) {
    const ids = new Map<string, number>();
    for (const [id, answer] of answers.entries()) {
      const earlier = ids.get(answer);
      if (earlier !== undefined) {
        throw new LxmertError(
          'BAD_ARGUMENT',
          `answer table: ${describeValue(answer)} is both number ${earlier} and number ${id}`,
        );
      }
      ids.set(answer, id);
    }
    this.answers = answers;
    this.#ids = ids;
  }

  get size(): number {
    return this.answers.length;
  }

  /** Index of an answer in any spelling that normalises to one of the table, else -1. */
  idOf(answer: string): number {
    return this.#ids.get(normalizeAnswer(answer)) ?? -1;
  }
}

/**
 * Reads `all_ans.json`: `[{"ans": "yes", "dsets": ["vqa", "gqa"]}, …]`; the position is the index. Rejects with
 * FILE_MISSING, FILE_ACCESS or BAD_DATA.
 */
export async function readAnswerTable(file: string): Promise<AnswerTable> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw readFailure(file, 'the answer table', error);
  });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new LxmertError('BAD_DATA', `${file}: not JSON (${(error as Error).message})`, { cause: error });
  }
  const bad = (path: string, expected: string, found: unknown) =>
    new LxmertError('BAD_DATA', `${file}: ${path || 'the file'} must be ${expected}, found ${describeValue(found)}`);
  if (!Array.isArray(parsed)) throw bad('', 'a list of {"ans", "dsets"}', parsed);

  const seen = new Map<string, number>();
  const answers: string[] = [];
  for (const [i, entry] of parsed.entries() as IterableIterator<[number, unknown]>) {
    if (typeof entry !== 'object' || entry === null) throw bad(`[${i}]`, '{"ans", "dsets"}', entry);
    const { ans, dsets } = entry as { ans?: unknown; dsets?: unknown };
    if (typeof ans !== 'string' || ans === '') throw bad(`[${i}].ans`, 'a string that is not empty', ans);
    if (!Array.isArray(dsets) || !dsets.every((d) => typeof d === 'string')) {
      throw bad(`[${i}].dsets`, 'a list of data set names', dsets);
    }
    const earlier = seen.get(ans);
    if (earlier !== undefined) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: [${i}].ans is ${describeValue(ans)}, as [${earlier}].ans already was`,
      );
    }
    seen.set(ans, i);
    answers.push(ans);
  }
  if (answers.length === 0) throw new LxmertError('BAD_DATA', `${file}: no answers in it`);
  return new AnswerTable(answers);
}
