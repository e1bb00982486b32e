import { isUtf8 } from 'node:buffer';
import { refuseForeign, textStart } from './text.js';
import { LxmertError } from '../errors.js';
import { readChunks } from './chunks.js';

const LINE_FEED = 0x0a;
const LARGEST = 256 * 2 ** 20;

/**
 * Calls `onLine` with each line of a text file, without the line end (LF or CR LF). Lines are counted from 1.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA (not UTF-8, naming the line), or the signal's reason
 */
export async function readLines(
  file: string,
  what: string,
  onLine: (line: string, number: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let number = 0;
  let atStart = true;
  const take = (bytes: Buffer): void => {
    number += 1;
    if (!isUtf8(bytes)) throw new LxmertError('BAD_DATA', `${file}: line ${number} is not UTF-8`);
    onLine(bytes.toString('utf8').replace(/\r$/, ''), number);
  };
  const push = (chunk: Buffer): void => {
    if (atStart) refuseForeign(chunk, file, what);
    let start = atStart ? textStart(chunk) : 0;
    atStart = false;
    for (let end = chunk.indexOf(LINE_FEED, start); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      const line = chunk.subarray(start, end);
      take(pending.length === 0 ? line : Buffer.concat([...pending, line]));
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
    pendingBytes += chunk.length - start;
    if (pendingBytes > LARGEST) throw new LxmertError('BAD_DATA', `${file}: line ${number + 1} is larger than 256 MiB`);
    if (start < chunk.length) pending.push(Buffer.from(chunk.subarray(start)));
  };
  await readChunks(file, what, push, signal);
  if (pendingBytes > 0) take(Buffer.concat(pending));
}

/**
 * Reads a file with one JSON value a line. Empty lines are skipped.
 * @throws as `readLines`, and BAD_DATA naming the line that is not JSON
 */
export function readJsonLines(
  file: string,
  what: string,
  onValue: (value: unknown, line: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const take = (line: string, number: number): void => {
    if (line.trim() === '') return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new LxmertError('BAD_DATA', `${file}: line ${number} is not JSON: ${(error as Error).message}`);
    }
    onValue(value, number);
  };
  return readLines(file, what, take, signal);
}
