import { isBlank, marks, scanJson, type JsonText, type Scan } from './jsonText.js';

/** Functions that receive the contents of a JSON object, in the order of the file. */
export interface ObjectHandlers {
  /** Receives every entry, except the lists named in `lists`. */
  readonly onEntry: (key: string, value: unknown) => void;
  /** Receives the elements of the list under a key, one at a time. */
  readonly lists?: Readonly<Record<string, (element: unknown, index: number) => void>>;
}

/**
 * Reads a file with one JSON object and calls the handlers with one entry at a time. A key that occurs twice is passed
 * twice.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the entry and the line, the signal's reason, or the errors of a
 *   handler
 */
export async function readJsonObject(
  file: string,
  what: string,
  handlers: ObjectHandlers,
  signal?: AbortSignal,
): Promise<void> {
  await scanJson(file, what, (text) => scanObject(text, handlers), signal);
}

function* scanObject(text: JsonText, { onEntry, lists = {} }: ObjectHandlers): Scan<void> {
  yield* text.open(marks.openObject, 'object');
  for (let entry = 1; ; entry++) {
    const key = yield* keyOf(text, entry);
    if (key === undefined) break;
    const name = JSON.stringify(key);
    const onElement = Object.hasOwn(lists, key) ? lists[key] : undefined;
    let end: number;
    if (onElement && (yield* isList(text))) {
      yield* text.elements(key, onElement);
      end = yield* text.next();
      if (end === marks.end) throw text.cut(name);
      if (end !== marks.comma && end !== marks.closeObject)
        throw text.bad(`a comma or the end of the object was expected behind the list ${name}`);
    } else {
      const value = yield* text.piece(name, marks.comma, marks.closeObject);
      onEntry(key, text.parse(value.bytes, name));
      end = value.end;
    }
    if (end === marks.closeObject) break;
  }
  yield* text.close('object');
}

/** Reads the key of an entry; undefined if the object has no entries. */
function* keyOf(text: JsonText, entry: number): Scan<string | undefined> {
  const name = `entry ${entry}`;
  const { bytes, end } = yield* text.piece(name, marks.colon, marks.closeObject);
  if (entry === 1 && end === marks.closeObject && isBlank(bytes)) return undefined;
  const key = text.parse(bytes, `the key of ${name}`);
  if (typeof key !== 'string' || end !== marks.colon)
    throw text.bad(`${name} has no key in quotation marks with a colon behind it`);
  return key;
}

/** Whether a list begins here. If so, reads its opening bracket. */
function* isList(text: JsonText): Scan<boolean> {
  const byte = yield* text.next();
  if (byte === marks.openList) return true;
  if (byte !== marks.end) text.back();
  return false;
}
