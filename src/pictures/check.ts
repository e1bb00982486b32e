import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ImageRecord } from '../data/store/record.js';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import type { Detection, OpenDetectorOptions } from './detection.js';
import { openDetector } from './detector.js';
import { recordOf } from './extract/journalStore.js';
import { findPictures } from './input/findPictures.js';

/** How well a detector's features of one picture agree with published features. */
export interface PictureCheck {
  readonly id: string;
  /** The number of published objects, and the number of those that match a found object with an IoU of at least 0.5. */
  readonly objects: number;
  readonly matched: number;
  /** The mean over the published boxes of the IoU with the nearest found box. */
  readonly overlap: number;
  /** Among the matched objects: the share with the same class, and the mean absolute difference of the features. */
  readonly sameClass: number;
  readonly featureDistance: number;
}

/**
 * Compares a detector with published features: a folder with pictures and one feature TSV of the original's form.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA; BAD_ARGUMENT for a folder without one TSV, or features of another width
 */
export async function checkDetector(
  folder: string,
  detectorFile: string,
  options: OpenDetectorOptions = {},
): Promise<readonly PictureCheck[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, 'read', folder);
  });
  const tables = names.filter((name) => extname(name) === '.tsv');
  if (tables.length !== 1)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${folder}: it has ${tables.length} .tsv files; expected one, beside pictures`,
    );
  const pictures = new Map((await findPictures([folder])).map((picture) => [picture.id, picture]));
  const detector = await openDetector(detectorFile, options);
  try {
    const checks: PictureCheck[] = [];
    const table = join(folder, tables[0]);
    let line = 0;
    for await (const text of createInterface({ input: createReadStream(table), crlfDelay: Infinity })) {
      line++;
      const place = `${table}: line ${line}`;
      if (text.split('\t').length !== 10)
        throw new LxmertError('BAD_DATA', `${place}: it has ${text.split('\t').length} columns; expected 10`);
      const published = recordOf(text, place);
      const picture = pictures.get(published.id);
      if (!picture) continue;
      checks.push(compared(published, await detector.detect(await detector.prepare(picture))));
    }
    if (checks.length === 0)
      throw new LxmertError('BAD_ARGUMENT', `${table}: none of its images is a picture in ${folder}`);
    return checks;
  } finally {
    await detector.close();
  }
}

function compared(published: ImageRecord, found: Detection): PictureCheck {
  const { id, count, boxes, objectIds } = published;
  const features = published.features as Float32Array;
  const width = features.length / count;
  const foundCount = found.boxes.length / 4;
  if (found.features.length / foundCount !== width)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${published.place}: its features have ${width} numbers, those of the detector ${found.features.length / foundCount}`,
    );
  const sums = { overlap: 0, matched: 0, sameClass: 0, distance: 0 };
  for (let i = 0; i < count; i++) {
    let [best, nearest] = [0, -1];
    for (let k = 0; k < foundCount; k++) {
      const overlap = iou(boxes.subarray(4 * i, 4 * i + 4), found.boxes.subarray(4 * k, 4 * k + 4));
      if (overlap > best) [best, nearest] = [overlap, k];
    }
    sums.overlap += best;
    if (best < 0.5) continue;
    sums.matched++;
    if (objectIds && found.objectIds && BigInt(objectIds[i]) === found.objectIds[nearest]) sums.sameClass++;
    let distance = 0;
    for (let f = 0; f < width; f++) distance += Math.abs(features[i * width + f] - found.features[nearest * width + f]);
    sums.distance += distance / width;
  }
  return {
    ...{ id, objects: count, matched: sums.matched },
    overlap: sums.overlap / count,
    sameClass: sums.sameClass / sums.matched,
    featureDistance: sums.distance / sums.matched,
  };
}

/** Intersection over union of two boxes x1, y1, x2, y2. */
function iou(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const side = (k: 0 | 1) => Math.max(0, Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k]));
  const area = (box: ArrayLike<number>) => (box[2] - box[0]) * (box[3] - box[1]);
  const both = side(0) * side(1);
  return both === 0 ? 0 : both / (area(a) + area(b) - both);
}
