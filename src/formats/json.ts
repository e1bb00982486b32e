import { LxmertError } from '../errors.js';
import type { ErrorCode } from '../errors.js';
import { readText } from './text.js';

/**
 * Reads a complete JSON file (UTF-8; a byte order mark is allowed).
 * @param what the expected contents for a message, such as "the answer table"
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the line
 */
export async function readJson(file: string, what: string): Promise<unknown> {
  return parseJson(await readText(file, what), file);
}

/** Parses a JSON text. Throws an error with this code, which names the file, and the line if the parser gives it. */
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
