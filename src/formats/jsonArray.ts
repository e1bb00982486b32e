import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { readFailure } from './fileErrors.js';
import { refuseForeign, textStart } from './text.js';
import { describeValue } from './describe.js';

const CHUNK = 4 * 2 ** 20;
/** One element is some sentences; past this the file is not a list of such. */
const LARGEST_ELEMENT = 256 * 2 ** 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/**
 * Reads a file with one JSON array and hands over its elements one at a time, so that files larger than the longest
 * string (0.5 GB) work and memory stays flat. Rejects with FILE_MISSING, FILE_ACCESS, BAD_DATA naming the element and the
 * line, or the signal's reason; what `onElement` throws goes through.
 */
export async function readJsonArray(
  file: string,
  what: string,
  onElement: (element: unknown, index: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const handle = await open(file).catch((error: unknown) => {
    throw readFailure(file, what, error);
  });
  const scanner = new ArrayScanner(file, what, onElement);
  try {
    const chunk = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, CHUNK).catch((error: unknown) => {
        throw readFailure(file, what, error);
      });
      signal?.throwIfAborted();
      if (bytesRead === 0) break;
      scanner.push(chunk.subarray(0, bytesRead));
    }
    scanner.end();
  } finally {
    await handle.close();
  }
}

/** Finds where the elements of the outermost array begin and end; JSON.parse does the rest. */
class ArrayScanner {
  readonly #file: string;
  readonly #what: string;
  readonly #onElement: (element: unknown, index: number) => void;
  /** Bytes of an element that began in an earlier chunk. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #state: 'before' | 'inside' | 'after' = 'before';
  #depth = 0;
  #inString = false;
  #escaped = false;
  #index = 0;
  /** Lines before the current chunk. */
  #line = 1;
  #atStart = true;

  constructor(file: string, what: string, onElement: (element: unknown, index: number) => void) {
    this.#file = file;
    this.#what = what;
    this.#onElement = onElement;
  }

  push(chunk: Buffer): void {
    let i = 0;
    if (this.#atStart) {
      refuseForeign(chunk, this.#file, this.#what);
      i = textStart(chunk);
      this.#atStart = false;
    }
    i = this.#state === 'before' ? this.#findOpening(chunk, i) : i;
    let start = i;
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    for (let inside = this.#state === 'inside'; inside && i < chunk.length; i++) {
      const byte = chunk[i];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++;
      else if (depth > 0) {
        if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth--;
      } else if (byte === COMMA || byte === CLOSE_LIST) {
        this.#element(chunk, start, i, byte === CLOSE_LIST);
        start = i + 1;
        if (byte === CLOSE_LIST) {
          inside = false;
          this.#state = 'after';
        }
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    if (this.#state === 'inside' && start < chunk.length) {
      this.#pending.push(Buffer.from(chunk.subarray(start)));
      this.#pendingBytes += chunk.length - start;
      if (this.#pendingBytes > LARGEST_ELEMENT)
        throw this.#bad(chunk, start, `[${this.#index}] is larger than 256 MiB`);
    }
    for (; this.#state === 'after' && i < chunk.length; i++) {
      if (!isSpace(chunk[i])) throw this.#bad(chunk, i, 'there is something after the end of the list');
    }
    this.#line += countLines(chunk, chunk.length);
  }

  end(): void {
    if (this.#state === 'before') {
      throw new LxmertError('BAD_DATA', `${this.#file}: is empty, a JSON list was expected (${this.#what})`);
    }
    if (this.#state === 'inside') {
      throw new LxmertError('BAD_DATA', `${this.#file}: ends within [${this.#index}]: the file is cut off`);
    }
  }

  #findOpening(chunk: Buffer, from: number): number {
    for (let i = from; i < chunk.length; i++) {
      if (isSpace(chunk[i])) continue;
      if (chunk[i] !== OPEN_LIST) {
        throw this.#bad(chunk, i, `a JSON list was expected (${this.#what}), found ${describeValue(charAt(chunk, i))}`);
      }
      this.#state = 'inside';
      return i + 1;
    }
    return chunk.length;
  }

  #element(chunk: Buffer, start: number, end: number, closing: boolean): void {
    let bytes = chunk.subarray(start, end);
    if (this.#pending.length > 0) {
      bytes = Buffer.concat([...this.#pending, bytes]);
      this.#pending = [];
      this.#pendingBytes = 0;
    }
    if (closing && this.#index === 0 && bytes.every(isSpace)) return;
    if (!isUtf8(bytes)) throw this.#bad(chunk, end, `[${this.#index}] is not UTF-8`);
    let element: unknown;
    try {
      element = JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      throw this.#bad(chunk, end, `[${this.#index}] is not JSON: ${(error as Error).message}`);
    }
    this.#onElement(element, this.#index++);
  }

  #bad(chunk: Buffer, at: number, problem: string): LxmertError {
    return new LxmertError('BAD_DATA', `${this.#file}: near line ${this.#line + countLines(chunk, at)}: ${problem}`);
  }
}

const charAt = (chunk: Buffer, i: number) => chunk.toString('utf8', i, i + 4).slice(0, 1);

function countLines(chunk: Buffer, end: number): number {
  let lines = 0;
  for (let at = chunk.indexOf(0x0a); at >= 0 && at < end; at = chunk.indexOf(0x0a, at + 1)) lines++;
  return lines;
}
