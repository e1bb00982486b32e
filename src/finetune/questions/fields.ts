import { describeValue } from '../../formats/describe.js';
import { LxmertError } from '../../errors.js';
import { isRecord } from '../../records.js';
import type { AnswerScore } from './question.js';

/** One JSON object of a file. Its functions read a field and check it. */
export interface Fields {
  /** Names of all fields. */
  readonly names: readonly string[];
  readonly has: (field: string) => boolean;
  readonly get: (field: string) => unknown;
  /** Returns a string that is not empty. @throws BAD_DATA */
  readonly text: (field: string) => string;
  /** Returns a string that is not empty, or undefined if the field is missing. @throws BAD_DATA */
  readonly optionalText: (field: string) => string | undefined;
  /** Makes the error for a field: BAD_DATA naming file, place, field, what was expected and what was found. */
  readonly bad: (field: string, expected: string, found?: unknown) => LxmertError;
}

/**
 * @param place where in the file the object is: `[12]`, `line 12`, `questions[3]` or `"07333408"`
 * @throws BAD_DATA if `element` is not an object
 */
export function fieldsOf(element: unknown, file: string, place: string): Fields {
  const where = /^line /.test(place) ? `${place}: ` : `${place}.`;
  if (!isRecord(element)) {
    throw new LxmertError('BAD_DATA', `${file}: ${place} must be an object, found ${describeValue(element)}`);
  }
  const get = (field: string): unknown => (Object.hasOwn(element, field) ? element[field] : undefined);
  const bad = (field: string, expected: string, found: unknown = get(field)): LxmertError =>
    new LxmertError('BAD_DATA', `${file}: ${where}${field} must be ${expected}, found ${describeValue(found)}`);
  const text = (field: string): string => {
    const value = get(field);
    if (typeof value !== 'string' || value === '') throw bad(field, 'a string that is not empty');
    return value;
  };
  return {
    names: Object.keys(element),
    get,
    bad,
    text,
    has: (field) => get(field) !== undefined,
    optionalText: (field) => (get(field) === undefined ? undefined : text(field)),
  };
}

/** Reads a whole number and returns it as an id, in decimal. */
export function wholeNumberId(fields: Fields, field: string, hint = ''): string {
  const id = fields.get(field);
  if (!Number.isSafeInteger(id)) throw fields.bad(field, `a whole number${hint}`);
  return String(id);
}

/** Reads answers and their scores from 0 to 1, such as `{"net": 1, "screen": 0.3}`; undefined if the field is missing. */
export function scoredAnswers(fields: Fields, field: string): AnswerScore[] | undefined {
  const label = fields.get(field);
  if (label === undefined) return undefined;
  if (!isRecord(label)) throw fields.bad(field, 'an object of answers and scores');
  return Object.entries(label).map(([answer, score]) => {
    if (typeof score !== 'number' || !(score >= 0 && score <= 1)) {
      throw fields.bad(`${field}[${JSON.stringify(answer)}]`, 'a score from 0 to 1', score);
    }
    return { answer, score };
  });
}

/** Returns those of the named fields that exist and are strings. */
export function typesOf(fields: Fields, names: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = fields.optionalText(name);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}
