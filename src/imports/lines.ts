import { LxmertError } from '../errors.js';
import type { BytePart } from './byteParts.js';

const CHUNK = 4 * 2 ** 20;
const LONGEST_LINE = 256 * 2 ** 20;

/** One line of a text file; its bytes are valid until the next one. */
export interface Line {
  /** The bytes of the line, without its ending. */
  readonly bytes: Buffer;
  /** The position of its first byte. */
  readonly offset: number;
  /** Number of the line, from 1. */
  readonly line: number;
  /** Whether it ends with a line feed. */
  readonly whole: boolean;
}

/**
 * The lines of a file that are not empty. Rejects with the errors of reading, and with BAD_DATA if a line is too long.
 */
export async function* linesOf({ path, open }: BytePart): AsyncGenerator<Line, void, undefined> {
  const reader = await open(0);
  try {
    let buffer = Buffer.alloc(CHUNK);
    let [filled, offset, line] = [0, 0, 0];
    for (;;) {
      const scanned = filled;
      const bytes = await reader.read(buffer.subarray(filled));
      filled += bytes;
      let start = 0;
      for (let end = buffer.subarray(0, filled).indexOf(0x0a, scanned); end >= 0;) {
        line++;
        if (end > start)
          yield { bytes: withoutReturn(buffer.subarray(start, end)), offset: offset + start, line, whole: true };
        start = end + 1;
        end = buffer.subarray(0, filled).indexOf(0x0a, start);
      }
      if (bytes === 0) {
        line++;
        if (filled > start)
          yield { bytes: withoutReturn(buffer.subarray(start, filled)), offset: offset + start, line, whole: false };
        return;
      }
      buffer.copyWithin(0, start, filled);
      filled -= start;
      offset += start;
      if (filled < buffer.length) continue;
      if (buffer.length >= LONGEST_LINE)
        throw new LxmertError('BAD_DATA', `${path}: line ${line + 1} is longer than 256 MiB: this is no table`);
      buffer = Buffer.concat([buffer, Buffer.alloc(buffer.length)]);
    }
  } finally {
    await reader.close();
  }
}

const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === 0x0d ? line.subarray(0, -1) : line);
