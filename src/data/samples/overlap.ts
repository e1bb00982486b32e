import { LxmertError } from '../../errors.js';
import { readJson } from '../../formats/json.js';
import { isRecord } from '../../records.js';
import { findSplit, readManifest } from './manifest.js';
import type { DataTask } from './originalLayout.js';
import { readSentences } from './sentences.js';

export interface OverlapOptions {
  readonly dir: string;
  readonly train: readonly string[];
  readonly valid: readonly string[];
  /** JSON file that maps an image id to the number of the same picture in COCO, such as the ids of Visual Genome. */
  readonly mapping?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An image of training that is the same picture as an image of evaluation. */
export interface SharedImage {
  readonly train: string;
  readonly valid: string;
}

/**
 * Finds the images that are in both training splits and evaluation splits. Pictures of COCO are compared by their number,
 * without the part before it (`COCO_train2014_…`, `COCO_val2014_…`). Other ids are compared directly, or by the mapping.
 * @throws BAD_ARGUMENT, FILE_MISSING, FILE_ACCESS, BAD_DATA
 */
export async function overlap(options: OverlapOptions): Promise<{
  readonly trainImages: number;
  readonly validImages: number;
  readonly shared: readonly SharedImage[];
}> {
  const mapping = options.mapping === undefined ? undefined : await readMapping(options.mapping);
  const train = await imagesOf(options, options.train);
  const valid = await imagesOf(options, options.valid);
  const pictures = new Map<string, string>();
  for (const id of valid) pictures.set(pictureOf(id, mapping), id);
  const shared: SharedImage[] = [];
  for (const id of train) {
    const other = pictures.get(pictureOf(id, mapping));
    if (other !== undefined) shared.push({ train: id, valid: other });
  }
  return { trainImages: train.size, validImages: valid.size, shared };
}

/** A name of a picture that is equal in all data sets. */
function pictureOf(id: string, mapping: ReadonlyMap<string, string> | undefined): string {
  const name = id.replace(/^.*\//, '').replace(/\.(jpe?g|png)$/i, '');
  const mapped = mapping?.get(name);
  if (mapped !== undefined) return `coco ${mapped}`;
  const coco = /^COCO_(?:train|val|test)\d{4}_0*(\d+)$/i.exec(name);
  return coco ? `coco ${coco[1]}` : name;
}

async function imagesOf({ dir, signal }: OverlapOptions, splits: readonly string[]): Promise<ReadonlySet<string>> {
  const manifest = await readManifest(dir);
  const ids = new Set<string>();
  for (const split of splits) {
    const { text } = await findSplit(manifest, split, 'pretrain' satisfies DataTask);
    await readSentences(text, ({ imageId }) => void ids.add(imageId), signal);
  }
  return ids;
}

/** `{"2345": 123, …}`, or a list of Visual Genome's `image_data.json`: `{"image_id": 2345, "coco_id": 123}`. */
async function readMapping(file: string): Promise<ReadonlyMap<string, string>> {
  const found = await readJson(file, 'a mapping of image ids');
  const bad = (place: string) =>
    new LxmertError(
      'BAD_DATA',
      `${file}: ${place} must be an id or a number; expected {"id": number} or image_data.json`,
    );
  const mapping = new Map<string, string>();
  const set = (id: unknown, coco: unknown, place: string) => {
    if (coco === null || coco === undefined) return;
    if (!isName(id) || !isName(coco)) throw bad(place);
    mapping.set(String(id), String(coco).replace(/^0+(?=\d)/, ''));
  };
  if (Array.isArray(found))
    found.forEach((one: unknown, i) => {
      if (!isRecord(one)) throw bad(`[${i}]`);
      set(one.image_id, one.coco_id, `[${i}]`);
    });
  else if (isRecord(found)) for (const [id, coco] of Object.entries(found)) set(id, coco, JSON.stringify(id));
  else throw bad('the file');
  return mapping;
}

const isName = (value: unknown): value is string | number => typeof value === 'string' || typeof value === 'number';
