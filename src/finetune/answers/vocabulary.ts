import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeValue } from '../../formats/describe.js';
import { LxmertError } from '../../errors.js';
import { writeFileAtomic } from '../../formats/atomicFile.js';
import { fileError, readFailure } from '../../formats/fileErrors.js';
import { readJson } from '../../formats/json.js';
import { isRecord } from '../../records.js';

/** The answers that a head can give, by label. Answers are compared without normalisation, as in the original. */
export interface AnswerVocabulary {
  readonly answers: readonly string[];
  /** Label of an answer, or -1. */
  readonly idOf: (answer: string) => number;
}

/** Names of the two files in a folder; the original uses the same names. */
export const vocabularyFiles = { ids: 'trainval_ans2label.json', answers: 'trainval_label2ans.json' } as const;

/** @throws BAD_ARGUMENT for an empty list and for an answer that occurs twice */
export function answerVocabulary(answers: readonly string[], source = 'answers'): AnswerVocabulary {
  if (answers.length === 0) throw new LxmertError('BAD_ARGUMENT', `${source}: no answers in it`);
  const ids = new Map<string, number>();
  for (const [id, answer] of answers.entries()) {
    const earlier = ids.get(answer);
    if (earlier !== undefined) {
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${source}: ${JSON.stringify(answer)} is answer ${earlier} and answer ${id}; an answer must occur once`,
      );
    }
    ids.set(answer, id);
  }
  return { answers, idOf: (answer) => ids.get(answer) ?? -1 };
}

/**
 * Reads an answer vocabulary. It may be a folder with `trainval_label2ans.json` or `trainval_ans2label.json`; if there
 * are both, they must agree. It may also be a file with a list of answers, an object of answers and labels, or the
 * pre-training's list of `{ans, dsets}`.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the place
 */
export async function readAnswerVocabulary(path: string): Promise<AnswerVocabulary> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(path, 'an answer list', error);
  });
  if (!found.isDirectory()) return readFileOfAnswers(path);
  const files = [vocabularyFiles.answers, vocabularyFiles.ids].map((name) => join(path, name));
  const there: string[] = [];
  for (const file of files) if (await isFile(file)) there.push(file);
  if (there.length === 0) {
    throw new LxmertError(
      'FILE_MISSING',
      `${path}: has no ${vocabularyFiles.answers} and no ${vocabularyFiles.ids}; \`lxmert answers build\` makes them`,
    );
  }
  const [first, second] = await Promise.all(there.map(readFileOfAnswers));
  if (second !== undefined) {
    const length = Math.max(first.answers.length, second.answers.length);
    for (let id = 0; id < length; id++) {
      const [one, other] = [first.answers[id], second.answers[id]];
      if (one !== other) {
        throw new LxmertError(
          'BAD_DATA',
          `${path}: label ${id} is ${describeValue(one)} in ${vocabularyFiles.answers} and ${describeValue(other)} in ` +
            `${vocabularyFiles.ids}; the two files must agree`,
        );
      }
    }
  }
  return first;
}

async function readFileOfAnswers(file: string): Promise<AnswerVocabulary> {
  const parsed = await readJson(file, 'an answer list');
  const answers = Array.isArray(parsed) ? listed(parsed, file) : numbered(parsed, file);
  try {
    return answerVocabulary(answers, file);
  } catch (error) {
    throw new LxmertError('BAD_DATA', (error as Error).message, { cause: error });
  }
}

/** Reads `["yes", "no", …]` or `[{"ans": "yes", "dsets": […]}, …]`. */
function listed(list: readonly unknown[], file: string): string[] {
  return list.map((entry, i) => {
    const answer = isRecord(entry) ? entry.ans : entry;
    if (typeof answer === 'string') return answer;
    const place = isRecord(entry) ? `[${i}].ans` : `[${i}]`;
    throw new LxmertError('BAD_DATA', `${file}: ${place} must be an answer, found ${describeValue(answer)}`);
  });
}

/** Reads `{"yes": 1, "no": 0, …}`. The labels must be 0, 1, 2, …, each once. */
function numbered(value: unknown, file: string): string[] {
  const expected = 'a list of answers or an object of answers and labels';
  if (!isRecord(value))
    throw new LxmertError('BAD_DATA', `${file}: must be ${expected}, found ${describeValue(value)}`);
  const entries = Object.entries(value);
  const answers = new Array<string | undefined>(entries.length);
  for (const [answer, id] of entries) {
    const isLabel = Number.isInteger(id) && (id as number) >= 0 && (id as number) < entries.length;
    const earlier = isLabel ? answers[id as number] : undefined;
    if (isLabel && earlier === undefined) answers[id as number] = answer;
    else {
      const rule = `a label from 0 to ${entries.length - 1} that no other answer has`;
      const taken = earlier === undefined ? '' : `, the label of ${JSON.stringify(earlier)}`;
      throw new LxmertError(
        'BAD_DATA',
        `${file}: ${JSON.stringify(answer)} must be ${rule}, found ${describeValue(id)}${taken}`,
      );
    }
  }
  return answers as string[];
}

/**
 * Writes `trainval_ans2label.json` and `trainval_label2ans.json` into a folder, which is made if missing.
 * @throws BAD_ARGUMENT for an empty list or an answer that occurs twice; FILE_ACCESS, FILE_MISSING
 */
export async function writeAnswerVocabulary(folder: string, answers: readonly string[]): Promise<void> {
  answerVocabulary(answers);
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw fileError(error, 'write answers to', folder);
  });
  // The text is not made from an object, because JavaScript would put keys such as "2" first.
  const entries = answers.map((answer, id) => `${JSON.stringify(answer)}: ${id}`);
  await writeFileAtomic(join(folder, vocabularyFiles.ids), `{\n  ${entries.join(',\n  ')}\n}\n`);
  await writeFileAtomic(join(folder, vocabularyFiles.answers), `${JSON.stringify(answers, null, 1)}\n`);
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
