import { isUtf8 } from 'node:buffer';
import { textStart } from '../../formats/text.js';
import { LxmertError } from '../../errors.js';
import { readChunks } from './chunks.js';

/** One entry or one element of a list is some sentences; past this the file is not a list of such. */
const LARGEST = 256 * 2 ** 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** Who receives what a JSON object holds, in the order of the file. */
export interface ObjectHandlers {
  /** Receives every entry, except the lists named in `lists`. */
  readonly onEntry: (key: string, value: unknown) => void;
  /** Receives the elements of the list under a key, one at a time. */
  readonly lists?: Readonly<Record<string, (element: unknown, index: number) => void>>;
}

/**
 * Reads a file with one JSON object and hands over its entries one at a time, so that files larger than the longest
 * string (0.5 GB) work and memory stays flat. A key that occurs twice is handed over twice.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the line, or the signal's reason; what a handler throws goes through
 */
export async function readJsonObject(
  file: string,
  what: string,
  handlers: ObjectHandlers,
  signal?: AbortSignal,
): Promise<void> {
  const scanner = new ObjectScanner(file, what, handlers);
  await readChunks(file, what, (chunk) => scanner.push(chunk), signal);
  scanner.end();
}

/** before: nothing yet · key: up to the colon · value: up to the comma · list: elements of a list · next: behind it */
type State = 'before' | 'key' | 'value' | 'list' | 'next' | 'after';

/** Finds where keys, values and elements begin and end; JSON.parse does the rest. */
class ObjectScanner {
  readonly #file: string;
  readonly #what: string;
  readonly #handlers: ObjectHandlers;
  #state: State = 'before';
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Bytes of a piece that began in an earlier chunk. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #key = '';
  #entries = 0;
  #index = 0;
  /** Lines before the current chunk. */
  #line = 1;
  #atStart = true;

  constructor(file: string, what: string, handlers: ObjectHandlers) {
    this.#file = file;
    this.#what = what;
    this.#handlers = handlers;
  }

  push(chunk: Buffer): void {
    let at = this.#atStart ? textStart(chunk) : 0;
    this.#atStart = false;
    while (at < chunk.length) at = this.#step(chunk, at);
    this.#line += linesIn(chunk, chunk.length);
  }

  end(): void {
    if (this.#state === 'after') return;
    const problem =
      this.#state === 'before'
        ? `is empty, a JSON object was expected (${this.#what})`
        : `ends within ${this.#where()}`;
    throw new LxmertError(
      'BAD_DATA',
      `${this.#file}: ${problem}${this.#state === 'before' ? '' : ': the file is cut off'}`,
    );
  }

  /** Takes in one piece, or the part of it that lies in this chunk; returns where the rest begins. */
  #step(chunk: Buffer, from: number): number {
    switch (this.#state) {
      case 'before':
      case 'next':
      case 'after':
        return this.#between(chunk, from);
      case 'key':
        return this.#piece(chunk, from, (byte) => byte === COLON || byte === CLOSE_OBJECT);
      case 'value':
        if (this.#pendingBytes === 0 && this.#handlers.lists?.[this.#key] !== undefined) {
          if (isSpace(chunk[from])) return from + 1;
          if (chunk[from] === OPEN_LIST) {
            this.#state = 'list';
            this.#index = 0;
            return from + 1;
          }
        }
        return this.#piece(chunk, from, (byte) => byte === COMMA || byte === CLOSE_OBJECT);
      case 'list':
        return this.#piece(chunk, from, (byte) => byte === COMMA || byte === CLOSE_LIST);
    }
  }

  #between(chunk: Buffer, from: number): number {
    const byte = chunk[from];
    if (isSpace(byte)) return from + 1;
    if (this.#state === 'before' && byte === OPEN_OBJECT) this.#state = 'key';
    else if (this.#state === 'next' && byte === COMMA) this.#state = 'key';
    else if (this.#state === 'next' && byte === CLOSE_OBJECT) this.#state = 'after';
    else {
      const expected =
        this.#state === 'before'
          ? `a JSON object was expected (${this.#what})`
          : this.#state === 'next'
            ? `a comma or the end of the object was expected behind the list ${JSON.stringify(this.#key)}`
            : 'there is something after the end of the object';
      throw this.#bad(chunk, from, expected);
    }
    return from + 1;
  }

  /** Looks for the byte outside of strings and brackets that ends the piece, and hands the piece over. */
  #piece(chunk: Buffer, from: number, isEnd: (byte: number) => boolean): number {
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    let i = from;
    for (; i < chunk.length; i++) {
      const byte = chunk[i];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++;
      else if (depth === 0 && isEnd(byte)) break;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth--;
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    this.#pendingBytes += i - from;
    if (this.#pendingBytes > LARGEST) throw this.#bad(chunk, i, `${this.#where()} is larger than 256 MiB`);
    if (i === chunk.length) {
      this.#pending.push(Buffer.from(chunk.subarray(from)));
      return i;
    }
    const end = chunk.subarray(from, i);
    const bytes = this.#pending.length === 0 ? end : Buffer.concat([...this.#pending, end]);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#take(bytes, chunk, i);
    return i + 1;
  }

  #take(bytes: Buffer, chunk: Buffer, at: number): void {
    const end = chunk[at];
    const isBlank = bytes.every(isSpace);
    if (this.#state === 'key') {
      if (end === CLOSE_OBJECT && isBlank && this.#entries === 0) {
        this.#state = 'after';
        return;
      }
      const key = this.#parse(bytes, chunk, at, `the key of entry ${this.#entries + 1}`);
      if (typeof key !== 'string' || end !== COLON) {
        throw this.#bad(chunk, at, `entry ${this.#entries + 1} has no key in quotation marks with a colon behind it`);
      }
      this.#key = key;
      this.#entries += 1;
      this.#state = 'value';
    } else if (this.#state === 'value') {
      this.#state = end === COMMA ? 'key' : 'after';
      this.#handlers.onEntry(this.#key, this.#parse(bytes, chunk, at, JSON.stringify(this.#key)));
    } else {
      const last = end === CLOSE_LIST;
      if (last) this.#state = 'next';
      if (last && this.#index === 0 && isBlank) return;
      const element = this.#parse(bytes, chunk, at, `${this.#key}[${this.#index}]`);
      this.#handlers.lists![this.#key](element, this.#index++);
    }
  }

  #parse(bytes: Buffer, chunk: Buffer, at: number, name: string): unknown {
    if (!isUtf8(bytes)) throw this.#bad(chunk, at, `${name} is not UTF-8`);
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      throw this.#bad(chunk, at, `${name} is not JSON: ${(error as Error).message}`);
    }
  }

  #where(): string {
    if (this.#state === 'list') return `${this.#key}[${this.#index}]`;
    return this.#state === 'value' || this.#state === 'next' ? JSON.stringify(this.#key) : `entry ${this.#entries + 1}`;
  }

  #bad(chunk: Buffer, at: number, problem: string): LxmertError {
    return new LxmertError('BAD_DATA', `${this.#file}: near line ${this.#line + linesIn(chunk, at)}: ${problem}`);
  }
}

function linesIn(chunk: Buffer, end: number): number {
  let lines = 0;
  for (let at = chunk.indexOf(0x0a); at >= 0 && at < end; at = chunk.indexOf(0x0a, at + 1)) lines++;
  return lines;
}
