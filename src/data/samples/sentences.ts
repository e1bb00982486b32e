import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import { readJsonArray } from '../../formats/jsonArray.js';
import { isRecord } from '../../records.js';
import { imageIdProblem } from '../imageId.js';

/** The sentences of one image. */
export interface ImageSentences {
  readonly imageId: string;
  /** The sets by source (`mscoco`, `vqa`, …), in the order of the file. */
  readonly sets: readonly SentenceSet[];
}

export interface SentenceSet {
  readonly name: string;
  readonly sentences: readonly string[];
  /** Answers and their scores, one record for each sentence; absent for captions. */
  readonly labels: readonly Readonly<Record<string, number>>[] | undefined;
}

/**
 * Reads the original's pre-training text: `[{"img_id": "…", "sentf": {"mscoco": ["…"], "vqa": ["…"]}, "labelf":
 * {"vqa": [{"yes": 1.0}]}}, …]`. A list in `labelf` has one entry for each entry of the same list in `sentf`. Rejects with
 * FILE_MISSING, FILE_ACCESS, BAD_DATA naming the place, such as `[12].labelf.vqa[3]`, or the signal's reason.
 */
export function readSentences(
  file: string,
  onImage: (image: ImageSentences) => void,
  signal?: AbortSignal,
): Promise<void> {
  const check = (element: unknown, index: number) => onImage(checkImage(element, index, file));
  return readJsonArray(file, 'sentences of images', check, signal);
}

function checkImage(element: unknown, index: number, file: string): ImageSentences {
  const bad = (path: string, expected: string, found: unknown) =>
    new LxmertError('BAD_DATA', `${file}: [${index}]${path} must be ${expected}, found ${describeValue(found)}`);
  if (!isRecord(element)) throw bad('', 'an object with img_id and sentf', element);
  const { img_id: imageId, sentf, labelf } = element;
  if (typeof imageId !== 'string' || imageId === '') throw bad('.img_id', 'a string that is not empty', imageId);
  const problem = imageIdProblem(imageId);
  if (problem !== undefined) throw bad('.img_id', `a plain name, and this one ${problem}`, imageId);
  if (!isRecord(sentf)) throw bad('.sentf', 'an object of lists of sentences', sentf);
  if (labelf !== undefined && !isRecord(labelf)) throw bad('.labelf', 'an object of lists of labels', labelf);

  const sets: SentenceSet[] = [];
  for (const [name, sentences] of Object.entries(sentf)) {
    if (!Array.isArray(sentences)) throw bad(`.sentf.${name}`, 'a list of sentences', sentences);
    const wrong = sentences.findIndex((sentence) => typeof sentence !== 'string');
    if (wrong >= 0) throw bad(`.sentf.${name}[${wrong}]`, 'a sentence', sentences[wrong]);
    const labels = labelf !== undefined && Object.hasOwn(labelf, name) ? labelf[name] : undefined;
    if (labels !== undefined) checkLabels(labels, name, sentences.length, bad);
    sets.push({ name, sentences, labels: labels as SentenceSet['labels'] });
  }
  for (const name of Object.keys(labelf ?? {})) {
    if (!Object.hasOwn(sentf, name)) {
      throw bad(`.labelf.${name}`, 'a name in sentf too', Object.keys(sentf).join(', ') || 'no names');
    }
  }
  return { imageId, sets };
}

type Bad = (path: string, expected: string, found: unknown) => LxmertError;

function checkLabels(labels: unknown, name: string, sentences: number, bad: Bad): void {
  const path = `.labelf.${name}`;
  if (!Array.isArray(labels)) throw bad(path, 'a list of labels', labels);
  if (labels.length !== sentences) {
    throw bad(path, `as long as sentf.${name} (${sentences})`, labels);
  }
  for (let i = 0; i < labels.length; i++) {
    const label: unknown = labels[i];
    if (!isRecord(label)) throw bad(`${path}[${i}]`, 'an object of answers and scores', label);
    for (const answer in label) {
      const score = label[answer];
      // JSON has no NaN, but 1e999 is parsed as Infinity.
      if (typeof score !== 'number' || !(score >= 0 && score < Infinity)) {
        throw bad(`${path}[${i}]${JSON.stringify([answer])}`, 'a score from 0', score);
      }
    }
  }
}
