import { LxmertError } from '../../errors.js';
import { writeFileAtomic } from '../../formats/atomicFile.js';
import type { QuestionTask } from '../questions/question.js';
import { predictionFields } from './readPredictions.js';

/** The best answers of one question with their probabilities, best first. */
export interface RankedAnswer {
  readonly answer: string;
  readonly probability: number;
}

export interface Prediction {
  readonly id: string;
  readonly answer: string;
  /** Written as the additional field `answers`, which the evaluators ignore. NLVR2's lines do not have this field. */
  readonly ranked?: readonly RankedAnswer[] | undefined;
}

/** Entries that are converted to bytes at a time. One string of all 4.2 million entries of GQA is too long for JavaScript. */
const block = 4096;

/**
 * Writes a prediction file in the official form of its task, as the original's evaluators do: JSON lists with four blanks
 * of indentation, sorted keys and ASCII only; NLVR2 lines `identifier,True`. The file is replaced in one operation.
 * @throws BAD_ARGUMENT for an id that the form cannot represent; FILE_ACCESS, FILE_MISSING
 */
export async function writePredictions(
  task: QuestionTask,
  file: string,
  predictions: Iterable<Prediction>,
): Promise<void> {
  const parts: Buffer[] = [];
  let texts: string[] = [];
  const flush = (): void => {
    parts.push(Buffer.from(texts.join(''), 'utf8'));
    texts = [];
  };
  let count = 0;
  for (const prediction of predictions) {
    if (task === 'nlvr2') texts.push(`${prediction.id},${prediction.answer}\n`);
    else texts.push(count === 0 ? '[\n' : ',\n', jsonEntry(task, prediction));
    count += 1;
    if (texts.length > block) flush();
  }
  if (task !== 'nlvr2') texts.push(count === 0 ? '[]' : '\n]');
  flush();
  await writeFileAtomic(file, Buffer.concat(parts));
}

function jsonEntry(task: keyof typeof predictionFields, { id, answer, ranked }: Prediction): string {
  const names = predictionFields[task];
  if (task === 'vqa' && !Number.isSafeInteger(Number(id))) {
    throw new LxmertError('BAD_ARGUMENT', `${JSON.stringify(id)} is not a question id of VQA: those are whole numbers`);
  }
  const fields: Record<string, unknown> = {
    [names.id]: task === 'vqa' ? Number(id) : id,
    [names.answer]: answer,
    answers: ranked,
  };
  const sorted = Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
  return asciiOnly(JSON.stringify(sorted, null, 4)).replace(/^/gm, '    ');
}

/** Replaces other characters by \uXXXX, as Python's json.dump does. */
const asciiOnly = (json: string): string =>
  json.replace(/[\u007f-\uffff]/g, (character) =>
    character === '\u007f' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
