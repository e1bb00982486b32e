import { readFile } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { fileError, isThere } from '../formats/fileErrors.js';
import { findVocabulary, hinting } from '../train/index.js';
import type { TrainObserver } from '../train/index.js';
import type { DescribedRun } from './parts.js';

/** The text of a `vocab.txt`: one WordPiece for each line, in the order of the ids. */
export const vocabularyText = (pieces: readonly string[]): string => `${pieces.join('\n')}\n`;

/**
 * Returns the vocabulary file of a run: the given file, or by default the file of the initial weights, because their
 * word table has a row for each WordPiece of this file. If the file no longer exists, a resumed run uses the vocabulary
 * of its checkpoint.
 * @param checkpoint the checkpoint from which a resumed run continues
 * @returns undefined for the vocabulary of bert-base-uncased
 */
export async function vocabularyOf(
  { data, init }: DescribedRun,
  checkpoint: string | undefined,
  observer: TrainObserver | undefined,
): Promise<string | undefined> {
  const ofInit = init === undefined ? undefined : await findVocabulary(init);
  const chosen = data.vocabulary ?? ofInit;
  if (checkpoint === undefined) {
    if (chosen !== undefined && chosen === ofInit)
      observer?.note?.(`the vocabulary is that of the initial weights: ${ofInit}`);
    return chosen;
  }
  const isKnown = chosen === undefined ? init === undefined : await isThere(chosen);
  return isKnown ? chosen : ((await findVocabulary(checkpoint)) ?? chosen);
}

/**
 * A resumed run continues from a checkpoint. This function compares the vocabulary of the checkpoint with that of the
 * data.
 * @throws BAD_CHECKPOINT if the two vocabularies have different WordPieces for a row of the word table
 */
export async function demandSameVocabulary(checkpoint: string, now: readonly string[] | undefined): Promise<void> {
  const file = await findVocabulary(checkpoint);
  if (file === undefined || !now) return;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read', file);
  });
  if (text === vocabularyText(now)) return;
  const saved = text.split('\n');
  const row = Array.from({ length: Math.max(now.length, saved.length) }).findIndex((_, i) => now[i] !== saved[i]);
  const shown = (piece: string | undefined): string => (piece ? JSON.stringify(piece) : 'missing');
  await hinting(checkpoint, async () => {
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${file}: line ${row + 1} is ${shown(saved[row])}, but ${shown(now[row])} in the vocabulary of the data. A run can ` +
        'continue only with the vocabulary of its first step; if you gave that one, the file of the checkpoint is damaged',
    );
  });
}
