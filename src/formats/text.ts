import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { readFailure } from './fileErrors.js';
import { foreignKind } from './fileKinds.js';

const mark = Buffer.of(0xef, 0xbb, 0xbf);
const LINE_FEED = 0x0a;

/** Where a text begins in the first bytes of its file: behind the byte order mark that some editors write. */
export const textStart = (bytes: Buffer): number => (bytes.subarray(0, mark.length).equals(mark) ? mark.length : 0);

/**
 * Refuses a file that is no UTF-8 text at all: packed, UTF-16, an HTML page, a Git LFS pointer.
 * @param head the first bytes of the file
 * @param what is expected there, as in "a feature TSV"
 * @throws BAD_DATA saying what the file is
 */
export function refuseForeign(head: Buffer, file: string, what: string): void {
  const kind = foreignKind(head);
  if (kind) throw new LxmertError('BAD_DATA', `${file}: is ${kind.name}; expected ${what}. ${kind.advice}`);
}

/**
 * Reads a text file whole. The rule for every text file is: UTF-8; a byte order mark at the start is allowed and is no
 * part of the text.
 * @param what is expected there, as in "a BERT vocab.txt"
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the line that is not UTF-8, or saying what the file is
 */
export async function readText(file: string, what: string): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readFailure(file, what, error);
  });
  refuseForeign(bytes, file, what);
  return decodeText(bytes, file, what);
}

/** The text of bytes that may begin with a byte order mark. Throws BAD_DATA naming the line that is not UTF-8. */
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
