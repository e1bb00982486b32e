import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import { textStart } from '../../formats/text.js';
import { describeValue } from '../../formats/describe.js';
import { readJsonArray } from '../../formats/jsonArray.js';

const what = 'a list of image ids to leave out';

/** What one exclusion list took away. */
export interface ExclusionCount {
  readonly file: string;
  /** Different ids in it. */
  readonly ids: number;
  /** Images with features that it took away; an image that several lists name counts for the first. */
  readonly images: number;
  /** Sentences of images that it took away, likewise. */
  readonly sentences: number;
  /** Its ids that neither features nor sentences have. */
  readonly unknownIds: number;
}

/**
 * Reads a list of image ids: text with one id a line (`#` begins a comment), or a JSON list of strings. Rejects with
 * FILE_MISSING, FILE_ACCESS, or BAD_DATA naming the line.
 */
export async function readExclusionList(file: string): Promise<ReadonlySet<string>> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw readFailure(file, what, error);
  });
  const ids = new Set<string>();
  const start = textStart(bytes);
  if (/^\s*\[/.test(bytes.toString('latin1', start, start + 1000))) {
    await readJsonArray(file, what, (id, i) => {
      if (typeof id !== 'string' || id.trim() === '') {
        throw new LxmertError('BAD_DATA', `${file}: [${i}] must be an image id (a string), found ${describeValue(id)}`);
      }
      ids.add(id);
    });
    return ids;
  }
  let line = 0;
  for (let from = start; from < bytes.length; line++) {
    const feed = bytes.indexOf(0x0a, from);
    const end = feed < 0 ? bytes.length : feed;
    const raw = bytes.subarray(from, end);
    from = end + 1;
    const bad = (problem: string) => new LxmertError('BAD_DATA', `${file}: line ${line + 1}: ${problem}`);
    if (!isUtf8(raw)) throw bad('is not UTF-8 text; one image id a line was expected');
    const id = raw
      .toString('utf8')
      .replace(/(^|\s)#.*$/s, '')
      .trim();
    if (id === '') continue;
    if (/[\s,\p{Cc}]/u.test(id)) {
      throw bad(`must be one image id, found ${describeValue(id)}; a JSON list takes ids with blanks or commas`);
    }
    ids.add(id);
  }
  return ids;
}

interface ExclusionList {
  readonly file: string;
  readonly ids: ReadonlySet<string>;
}

/** The images that some lists leave out, and what came of each list. */
export class Exclusions {
  readonly #lists: readonly ExclusionList[];
  /** The first list that names an image. */
  readonly #listOf = new Map<string, number>();
  readonly #sentences: number[];
  readonly #inText = new Set<string>();

  private constructor(lists: readonly ExclusionList[]) {
    this.#lists = lists;
    this.#sentences = lists.map(() => 0);
    for (const [list, { ids }] of lists.entries()) {
      for (const id of ids) if (!this.#listOf.has(id)) this.#listOf.set(id, list);
    }
  }

  /** Rejects as `readExclusionList` does. */
  static async read(files: readonly string[]): Promise<Exclusions> {
    const lists = [];
    for (const file of files) lists.push({ file, ids: await readExclusionList(file) });
    return new Exclusions(lists);
  }

  /** Whether an image with so many sentences is left out; it is counted then. */
  take(imageId: string, sentences: number): boolean {
    const list = this.#listOf.get(imageId);
    if (list === undefined) return false;
    this.#sentences[list] += sentences;
    this.#inText.add(imageId);
    return true;
  }

  /** What came of each list, once all text was read; `hasFeatures` tells which images there are. */
  counts(hasFeatures: (imageId: string) => boolean): ExclusionCount[] {
    return this.#lists.map(({ file, ids }, list) => {
      let images = 0;
      let unknownIds = 0;
      for (const id of ids) {
        const found = hasFeatures(id);
        if (found && this.#listOf.get(id) === list) images++;
        if (!found && !this.#inText.has(id)) unknownIds++;
      }
      return { file, ids: ids.size, images, sentences: this.#sentences[list], unknownIds };
    });
  }
}
