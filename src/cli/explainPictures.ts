import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { explanationSvg, scaled, type ExplanationPicture } from '../explain/index.js';
import { percent } from '../figures.js';
import type { ExplainedQuestion } from '../finetune/index.js';
import { makeFolder } from '../formats/atomicFile.js';
import { fileError } from '../formats/fileErrors.js';
import { findPictureFile, pictureEndings } from '../formats/pictureFile.js';
import { note } from './command.js';

/**
 * Draws explanations. If `out` ends with .svg, it is the file for one explanation; otherwise it is a folder with one
 * file for each question.
 * @returns the files
 * @throws BAD_ARGUMENT for several explanations and one file; FILE_ACCESS, FILE_MISSING
 */
export async function writeExplanations(
  explained: readonly ExplainedQuestion[],
  { out, pictures }: { readonly out: string; readonly pictures: string | undefined },
): Promise<string[]> {
  const isFile = extname(out).toLowerCase() === '.svg';
  if (isFile && explained.length > 1)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--out ${out}: there are ${explained.length} explanations, and a file holds one; name a folder, or one question with --question`,
    );
  if (pictures !== undefined && !existsSync(pictures))
    throw new LxmertError('FILE_MISSING', `--pictures ${pictures}: there is no such folder`);
  const files: string[] = [];
  const missing = new Set<string>();
  try {
    if (!isFile) await makeFolder(out);
    for (const [i, one] of explained.entries()) {
      const picture = pictures === undefined ? undefined : await findPictureFile(pictures, one.image);
      if (pictures !== undefined && !picture) missing.add(one.image);
      const path = isFile ? out : join(out, `${String(i + 1).padStart(4, '0')}-${fileName(one.id)}.svg`);
      await writeFile(path, explanationSvg(drawn(one, picture)));
      files.push(path);
    }
  } catch (error) {
    throw fileError(error, 'write', out);
  }
  if (missing.size > 0)
    note(
      `${pictures} has no picture ${[...missing][0]}${missing.size > 1 ? ` (and ${missing.size - 1} others)` : ''} ` +
        `(${pictureEndings.join(', ')}); its boxes are on an empty frame`,
    );
  return files;
}

function drawn(
  { answer, probability, words, boxes }: ExplainedQuestion,
  picture: ExplanationPicture['picture'],
): ExplanationPicture {
  const shares = (items: readonly { readonly relevance: number }[]): Float64Array =>
    scaled(Float64Array.from(items, ({ relevance }) => relevance));
  // [CLS] and [SEP] are not words of the question.
  const inner = words.slice(1, -1);
  const [ofWords, ofBoxes] = [shares(inner), shares(boxes)];
  return {
    title: `${answer}, ${percent(probability)}`,
    words: inner.map(({ text }, i) => ({ text, share: ofWords[i] })),
    boxes: boxes.map(({ box }, i) => ({ box, share: ofBoxes[i] })),
    picture,
  };
}

/** An id as a part of a file's name. */
const fileName = (id: string): string => id.replace(/[^\p{L}\p{N}._-]/gu, '_').slice(0, 80);
