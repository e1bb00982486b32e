import { marks, scanJson, type JsonText, type Scan } from './jsonText.js';

/**
 * Reads a file with one JSON array and calls `onElement` with one element at a time.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the element and the line, the signal's reason, or the errors of
 *   `onElement`
 */
export async function readJsonArray(
  file: string,
  what: string,
  onElement: (element: unknown, index: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  function* scan(text: JsonText): Scan<void> {
    yield* text.open(marks.openList, 'list');
    yield* text.elements('', onElement);
    yield* text.close('list');
  }
  await scanJson(file, what, scan, signal);
}
