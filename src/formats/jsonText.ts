import { isUtf8 } from 'node:buffer';
import { LxmertError } from '../errors.js';
import { readChunks } from './chunks.js';
import { describeValue } from './describe.js';
import { refuseForeign, textStart } from './text.js';

/**
 * Largest piece in bytes. A piece normally has a few sentences. If a piece is larger than this, the file has another
 * form.
 */
const largestPiece = 256 * 2 ** 20;

const byteOf = (character: string): number => character.charCodeAt(0);
const [quote, backslash] = [byteOf('"'), byteOf('\\')];
export const marks = {
  ...{ openList: byteOf('['), closeList: byteOf(']'), openObject: byteOf('{'), closeObject: byteOf('}') },
  ...{ comma: byteOf(','), colon: byteOf(':'), end: -1 },
} as const;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
export const isBlank = (bytes: Buffer): boolean => bytes.every(isSpace);

/** A generator that yields when it needs the next chunk of the file. */
export type Scan<T> = Generator<undefined, T>;

/**
 * Reads a file with one JSON value, a chunk at a time. So files larger than the longest string (0.5 GB) can be read, and
 * memory does not grow with the file.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the line, the signal's reason, or the errors of `scan`
 */
export async function scanJson(
  file: string,
  what: string,
  scan: (text: JsonText) => Scan<void>,
  signal?: AbortSignal,
): Promise<void> {
  const text = new JsonText(file, what);
  const running = scan(text);
  running.next();
  const onChunk = (chunk: Buffer): void => {
    text.push(chunk);
    running.next();
  };
  await readChunks(file, what, onChunk, signal);
  text.finish();
  running.next();
}

/** JSON text that arrives in chunks. It is cut into pieces, which JSON.parse reads. */
export class JsonText {
  readonly #file: string;
  readonly #what: string;
  #chunk: Buffer = Buffer.alloc(0);
  /** The position of the next byte in the chunk. */
  #at = 0;
  /** The line number at the beginning of the chunk. */
  #line = 1;
  #isFirst = true;
  #isFinished = false;

  constructor(file: string, what: string) {
    this.#file = file;
    this.#what = what;
  }

  /** Adds the next chunk. The chunk must not change until the next call. */
  push(chunk: Buffer): void {
    this.#line += linesIn(this.#chunk, this.#chunk.length);
    this.#chunk = chunk;
    this.#at = 0;
    if (!this.#isFirst) return;
    refuseForeign(chunk, this.#file, this.#what);
    this.#at = textStart(chunk);
    this.#isFirst = false;
  }

  finish(): void {
    this.#isFinished = true;
  }

  /** Reads the next byte that is not a space; `marks.end` at the end of the file. */
  *next(): Scan<number> {
    for (;;) {
      while (this.#at < this.#chunk.length) {
        const byte = this.#chunk[this.#at++];
        if (!isSpace(byte)) return byte;
      }
      if (this.#isFinished) return marks.end;
      yield;
    }
  }

  /** Goes back by the byte that `next` read last. */
  back(): void {
    this.#at -= 1;
  }

  /** Reads the opening bracket of the whole value. @throws BAD_DATA for any other byte */
  *open(mark: number, form: 'list' | 'object'): Scan<void> {
    const expected = `a JSON ${form} was expected (${this.#what})`;
    const first = yield* this.next();
    if (first === marks.end) throw this.#failure(`is empty, ${expected}`);
    if (first === mark) return;
    const from = this.#at - 1;
    const found = this.#chunk.toString('utf8', from, from + 4).slice(0, 1);
    throw this.bad(`${expected}, found ${describeValue(found)}`);
  }

  /** Checks that nothing follows. @throws BAD_DATA */
  *close(form: 'list' | 'object'): Scan<void> {
    if ((yield* this.next()) !== marks.end) throw this.bad(`there is something after the end of the ${form}`);
  }

  /**
   * Reads up to one of two marks that is outside of strings and brackets. Returns the bytes before the mark, and the mark.
   * The bytes are valid until the scan yields.
   */
  *piece(name: string, mark: number, other: number): Scan<{ bytes: Buffer; end: number }> {
    const before: Buffer[] = [];
    let size = 0;
    let depth = 0;
    let inString = false;
    let escaped = false;
    for (;;) {
      const chunk = this.#chunk;
      const from = this.#at;
      let i = from;
      for (; i < chunk.length; i++) {
        const byte = chunk[i];
        if (inString) {
          if (escaped) escaped = false;
          else if (byte === backslash) escaped = true;
          else if (byte === quote) inString = false;
        } else if (byte === quote) inString = true;
        else if (byte === marks.openObject || byte === marks.openList) depth++;
        else if (depth === 0) {
          if (byte === mark || byte === other) break;
        } else if (byte === marks.closeObject || byte === marks.closeList) depth--;
      }
      this.#at = i;
      size += i - from;
      if (size > largestPiece) throw this.bad(`${name} is larger than 256 MiB`);
      if (i < chunk.length) {
        this.#at = i + 1;
        const last = chunk.subarray(from, i);
        return { bytes: before.length === 0 ? last : Buffer.concat([...before, last]), end: chunk[i] };
      }
      before.push(Buffer.from(chunk.subarray(from)));
      if (this.#isFinished) throw this.cut(name);
      yield;
    }
  }

  /** Reads the elements of a list after its opening bracket, and the closing bracket. `list` is the name in messages. */
  *elements(list: string, onElement: (element: unknown, index: number) => void): Scan<void> {
    for (let index = 0; ; index++) {
      const name = `${list}[${index}]`;
      const { bytes, end } = yield* this.piece(name, marks.comma, marks.closeList);
      const isLast = end === marks.closeList;
      if (isLast && index === 0 && isBlank(bytes)) return;
      onElement(this.parse(bytes, name), index);
      if (isLast) return;
    }
  }

  parse(bytes: Buffer, name: string): unknown {
    if (!isUtf8(bytes)) throw this.bad(`${name} is not UTF-8`);
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      throw this.bad(`${name} is not JSON: ${(error as Error).message}`);
    }
  }

  cut(name: string): LxmertError {
    return this.#failure(`ends within ${name}: the file is cut off`);
  }

  bad(problem: string): LxmertError {
    return this.#failure(`near line ${this.#line + linesIn(this.#chunk, Math.max(this.#at - 1, 0))}: ${problem}`);
  }

  #failure(problem: string): LxmertError {
    return new LxmertError('BAD_DATA', `${this.#file}: ${problem}`);
  }
}

function linesIn(chunk: Buffer, end: number): number {
  let lines = 0;
  for (let at = chunk.indexOf(0x0a); at >= 0 && at < end; at = chunk.indexOf(0x0a, at + 1)) lines++;
  return lines;
}
