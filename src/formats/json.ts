import { LxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';
import { readText } from './text.js';

/**
 * Reads a JSON file whole (UTF-8; a byte order mark is allowed).
 * @param what is expected there, as in "the answer table"
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the line
 */
export async function readJson(file: string, what: string): Promise<unknown> {
  return parseJson(await readText(file, what), file);
}

/** The value of a JSON text. Throws an error of that code, naming the file and the line where the parser tells it. */
export function parseJson(text: string, file: string, code: ErrorCode = 'BAD_DATA'): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as Error;
    const position = /at position (\d+)/.exec(message)?.[1];
    const line = position === undefined ? '' : ` line ${text.slice(0, Number(position)).split('\n').length}:`;
    throw new LxmertError(code, `${file}:${line} is not JSON: ${message}`, { cause: error });
  }
}
