import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import { readJsonArray } from '../../formats/jsonArray.js';
import { readText } from '../../formats/text.js';

const what = 'a list of image ids to leave out';

/** The counts of what one exclusion list has left out. */
export interface ExclusionCount {
  readonly file: string;
  /** Number of different ids in the list. */
  readonly ids: number;
  /** Number of images with features that are left out. An image in several lists counts for the first of them. */
  readonly images: number;
  /** Number of sentences of these images. */
  readonly sentences: number;
  /** Number of ids that occur neither in the features nor in the sentences. */
  readonly unknownIds: number;
}

/**
 * Reads a list of image ids: text with one id a line (`#` begins a comment), or a JSON list of strings. Rejects with
 * FILE_MISSING, FILE_ACCESS, or BAD_DATA naming the line.
 */
export async function readExclusionList(file: string): Promise<ReadonlySet<string>> {
  const text = await readText(file, what);
  const ids = new Set<string>();
  if (text.trimStart().startsWith('[')) {
    await readJsonArray(file, what, (id, i) => {
      if (typeof id !== 'string' || id.trim() === '') {
        throw new LxmertError('BAD_DATA', `${file}: [${i}] must be an image id (a string), found ${describeValue(id)}`);
      }
      ids.add(id);
    });
    return ids;
  }
  for (const [i, line] of text.split('\n').entries()) {
    const id = line.replace(/(^|\s)#.*$/s, '').trim();
    if (id === '') continue;
    if (/[\s,\p{Cc}]/u.test(id)) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: line ${i + 1}: must be one image id, found ${describeValue(id)}; a JSON list takes ids with blanks or commas`,
      );
    }
    ids.add(id);
  }
  return ids;
}

interface ExclusionList {
  readonly file: string;
  readonly ids: ReadonlySet<string>;
}

/** The images that some lists leave out, and counts for each list. */
export class Exclusions {
  readonly #lists: readonly ExclusionList[];
  /** For each image the first list that has it. */
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

  /** The ids of all lists. */
  get ids(): Iterable<string> {
    return this.#listOf.keys();
  }

  /** Returns whether an image is left out. If so, counts the image and its sentences. */
  take(imageId: string, sentences: number): boolean {
    const list = this.#listOf.get(imageId);
    if (list === undefined) return false;
    this.#sentences[list] += sentences;
    this.#inText.add(imageId);
    return true;
  }

  /** The counts of each list, after all text was read. `hasFeatures` returns whether an image has features. */
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
