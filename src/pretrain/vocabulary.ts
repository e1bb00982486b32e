import { readFile } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { bertBaseUncased } from '../text/vocabulary.js';
import { findVocabulary, hinting } from '../train/index.js';
import type { TrainObserver } from '../train/index.js';
import type { DescribedRun } from './parts.js';

/** The text of a `vocab.txt`: one WordPiece a line, in the order of their ids. */
export const vocabularyText = (pieces: readonly string[]): string => `${pieces.join('\n')}\n`;

/**
 * The vocabulary file of a run: that of the checkpoint from which it continues; else the one that is given; else that of its
 * initial weights, whose word table has a row for each of these WordPieces.
 * @param checkpoint from which a resumed run continues
 * @returns undefined for the vocabulary of bert-base-uncased
 * @throws BAD_CHECKPOINT when a resumed run would get another vocabulary than it began with; FILE_ACCESS
 */
export async function vocabularyOf(
  { data, init }: DescribedRun,
  checkpoint: string | undefined,
  observer: TrainObserver | undefined,
): Promise<string | undefined> {
  const ofInit = init === undefined ? undefined : await findVocabulary(init);
  const saved = checkpoint === undefined ? undefined : await findVocabulary(checkpoint);
  if (checkpoint !== undefined && saved !== undefined) {
    await demandSame(saved, data.vocabulary ?? ofInit, { checkpoint, hasInit: init !== undefined });
    return saved;
  }
  if (data.vocabulary !== undefined || ofInit === undefined) return data.vocabulary;
  if (checkpoint === undefined) observer?.note?.(`the vocabulary is that of the initial weights: ${ofInit}`);
  return ofInit;
}

/** @throws BAD_CHECKPOINT; a file that is no longer there cannot be compared, and is not needed */
async function demandSame(
  saved: string,
  given: string | undefined,
  { checkpoint, hasInit }: { readonly checkpoint: string; readonly hasInit: boolean },
): Promise<void> {
  const theirs = linesOf(await readText(saved));
  const isDefault = given === undefined && !hasInit;
  const text = given === undefined ? undefined : await readFile(given, 'utf8').catch(() => undefined);
  const ours = isDefault ? await bertBaseUncased() : text === undefined ? undefined : linesOf(text);
  if (!ours) return;
  const at = Array.from({ length: Math.max(ours.length, theirs.length) }).findIndex((_, i) => ours[i] !== theirs[i]);
  if (at < 0) return;
  const shown = (lines: readonly string[]): string => (at < lines.length ? JSON.stringify(lines[at]) : 'missing');
  const what = given ?? 'the vocabulary of bert-base-uncased';
  await hinting(checkpoint, async () => {
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${saved}: line ${at + 1} is ${shown(theirs)}, but ${shown(ours)} in ${what}. A run cannot go on with another ` +
        'vocabulary than it began with: give that one, or none. The file of the checkpoint may be damaged',
    );
  });
}

const readText = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });

/** Lines without a byte order mark and carriage returns, as the tokenizer reads them. */
function linesOf(text: string): string[] {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
