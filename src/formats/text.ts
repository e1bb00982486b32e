import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { readFailure } from './fileErrors.js';
import { foreignKind } from './fileKinds.js';

const mark = Buffer.of(0xef, 0xbb, 0xbf);
const LINE_FEED = 0x0a;

/** The position of the first character in a file: after the byte order mark that some editors write, or 0. */
export const textStart = (bytes: Buffer): number => (bytes.subarray(0, mark.length).equals(mark) ? mark.length : 0);

/**
 * Refuses a file that cannot be the expected UTF-8 text: a packed file, UTF-16, an HTML page, a Git LFS pointer.
 * @param head the first bytes of the file
 * @param what the expected kind of file, such as "a feature TSV"
 * @throws BAD_DATA; the message says what the file is
 */
export function refuseForeign(head: Buffer, file: string, what: string): void {
  const kind = foreignKind(head);
  if (kind) throw new LxmertError('BAD_DATA', `${file}: is ${kind.name}; expected ${what}. ${kind.advice}`);
}

/**
 * Reads a complete text file. Every text file must be UTF-8. A byte order mark at the start is allowed and is not a
 * part of the text.
 * @param what the expected kind of file, such as "a BERT vocab.txt"
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming the line that is not UTF-8, or the kind of the file
 */
export async function readText(file: string, what: string): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readFailure(file, what, error);
  });
  refuseForeign(bytes, file, what);
  return decodeText(bytes, file, what);
}

/** Decodes bytes that may begin with a byte order mark. Throws BAD_DATA naming the line that is not UTF-8. */
export function decodeText(bytes: Buffer, file: string, what: string): string {
  const start = textStart(bytes);
  if (!isUtf8(bytes)) {
    throw new LxmertError(
      'BAD_DATA',
      `${file}: line ${badLine(bytes)}: is not UTF-8 text; expected ${what}. Save the file as UTF-8`,
    );
  }
  return bytes.toString('utf8', start);
}

/** The first line that is not UTF-8, from 1. */
function badLine(bytes: Buffer): number {
  let line = 1;
  for (let from = 0; ; line++) {
    const feed = bytes.indexOf(LINE_FEED, from);
    const end = feed < 0 ? bytes.length : feed;
    if (feed < 0 || !isUtf8(bytes.subarray(from, end))) return line;
    from = end + 1;
  }
}
