import { marks, scanJson, type JsonText, type Scan } from './jsonText.js';

/**
 * Reads a file with one JSON array and hands over its elements one at a time.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the element and the line, or the signal's reason; what `onElement`
 *   throws goes through
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
