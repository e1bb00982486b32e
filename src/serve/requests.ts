import type { z } from 'zod';
import { expectation } from '../config/issues.js';
import { packSamples } from '../data/batches/packSamples.js';
import { counted } from '../figures.js';
import type { Picture } from '../finetune/index.js';
import { escaped, shown } from '../formats/shown.js';
import type { PictureDetector } from './pictureDetector.js';
import type { Limits } from './options.js';
import { Problem } from './problem.js';
import type { PictureRequest } from './schemas.js';
import type { StoredPictures } from './storedPictures.js';

/** Checks a value of a request. @throws Problem 400 naming each wrong field */
export function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  demandFewValues(value, what);
  const { success, data, error } = schema.safeParse(value, { error: sized });
  if (success) return data;
  const faults = error.issues.slice(0, 20).map(({ path, message }) => ({ field: fieldOf(path, what), message }));
  const more = error.issues.length > 1 ? ` (and ${counted(error.issues.length - 1, 'other error')})` : '';
  throw new Problem(400, `${faults[0].field}: ${faults[0].message}${more}`, faults);
}

const fieldOf = (path: readonly PropertyKey[], what: string): string =>
  path.reduce((text: string, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text}.${shownKey(key)}`), what);
const shownKey = (key: PropertyKey): string => escaped(String(key)).slice(0, 60);

/** Most values of a request outside of `features`. A larger number is never right, and errors would need much memory. */
const mostValues = 10_000;

/** @throws Problem 400 */
function demandFewValues(value: unknown, what: string): void {
  const left: unknown[] = [value];
  let count = 0;
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one !== 'object' || one === null) continue;
    for (const [key, inner] of Object.entries(one)) {
      count += 1;
      if (count > mostValues) throw new Problem(400, `${what}: it has more than ${mostValues} values`);
      if (key !== 'features') left.push(inner);
    }
  }
}

/** Messages that say what was given, where this is short. */
const sized: z.core.$ZodErrorMap = (issue) => {
  const { input } = issue;
  if (issue.code === 'too_big' && typeof input === 'string')
    return `it has ${counted(input.length, 'letter')}; expected at most ${Number(issue.maximum)}`;
  if (issue.code === 'too_big' && Array.isArray(input))
    return `it has ${counted(input.length, 'entry', 'entries')}; expected at most ${Number(issue.maximum)}`;
  if (issue.code === 'too_small' && typeof input === 'string') return 'it is empty; expected text';
  if (issue.code === 'unrecognized_keys') return `${issue.keys.map(shown).join(', ')} is not known here`;
  return expectation(issue);
};

/** Exactly one of two fields, as a list. @throws Problem 400 */
export function oneOrSeveral<T>(
  one: T | undefined,
  several: readonly T[] | undefined,
  names: readonly [string, string],
): readonly T[] {
  if ((one === undefined) === (several === undefined))
    throw new Problem(
      400,
      `expected either ${names[0]} or ${names[1]}, and ${one === undefined ? 'neither' : 'both'} is given`,
    );
  return several ?? [one!];
}

export interface PictureSources {
  readonly stored: StoredPictures;
  readonly pictureDetector: PictureDetector | undefined;
  readonly limits: Limits;
  readonly featureDim: number;
}

/**
 * The features of the picture of a request.
 * @throws Problem 400, 404 for an unknown id, 422 for features that do not fit; 501 without a detector
 */
export async function pictureOf(
  given: PictureRequest | Buffer | undefined,
  { stored, pictureDetector, limits, featureDim }: PictureSources,
  signal: AbortSignal,
): Promise<Picture> {
  if (given === undefined) throw new Problem(400, 'picture: it is missing; expected an object');
  const image = Buffer.isBuffer(given) ? given : given.image;
  const { id, features, boxes } = Buffer.isBuffer(given) ? {} : given;
  const forms = [id, image, features ?? boxes].filter((form) => form !== undefined);
  if (forms.length !== 1)
    throw new Problem(
      400,
      `picture: expected one of id, image, or features with boxes; ${forms.length} of them are given`,
    );
  if (id !== undefined) {
    if (!stored.has(id))
      throw new Problem(
        404,
        `picture.id: there is no picture ${shown(id)}; the server has ${counted(stored.ids.length, 'picture')} (GET /pictures)`,
      );
    return stored.read(id);
  }
  if (image !== undefined) {
    if (!pictureDetector)
      throw new Problem(
        501,
        'this server has no detector, so it cannot take pictures; name a picture by its id, or start the server with --detector',
      );
    const bytes = Buffer.isBuffer(image) ? image : bytesOf(image, 'picture.image');
    if (bytes.length === 0) throw new Problem(422, 'the picture is empty; expected a JPEG, PNG or WebP file');
    return pictureDetector.objectsOf(bytes, signal);
  }
  if (features === undefined || boxes === undefined)
    throw new Problem(
      400,
      `picture.${features === undefined ? 'features' : 'boxes'}: it is missing; features and boxes belong together`,
    );
  return givenFeatures(features, boxes, { limits, featureDim });
}

function givenFeatures(
  features: NonNullable<PictureRequest['features']>,
  boxes: NonNullable<PictureRequest['boxes']>,
  { featureDim }: Pick<PictureSources, 'limits' | 'featureDim'>,
): Picture {
  const values =
    typeof features === 'string' ? floatsOf(bytesOf(features, 'picture.features')) : Float32Array.from(features.flat());
  const uneven = typeof features === 'string' ? -1 : features.findIndex(({ length }) => length !== featureDim);
  const objects = typeof features === 'string' ? values.length / featureDim : features.length;
  if (uneven >= 0 && typeof features !== 'string')
    throw new Problem(
      422,
      `picture.features[${uneven}]: it has ${counted(features[uneven].length, 'number')}; the model takes ${featureDim} for each object`,
    );
  if (objects !== boxes.length)
    throw new Problem(
      422,
      `picture.features: ${counted(values.length, 'number')} for ${counted(boxes.length, 'box', 'boxes')}; expected ${boxes.length * featureDim}, ${featureDim} for each box`,
    );
  const picture = { features: values, boxes: Float32Array.from(boxes.flat()) };
  // Checks the values: a wrong one must not reach a batch with the questions of others.
  packSamples([{ id: 'picture', tokenIds: [0], ...picture }]);
  return picture;
}

function bytesOf(base64: string, field: string): Buffer {
  const bytes = Buffer.from(base64, 'base64');
  const digits = base64.endsWith('==') ? base64.length - 2 : base64.endsWith('=') ? base64.length - 1 : base64.length;
  if (bytes.length !== Math.floor((digits * 3) / 4)) throw new Problem(400, `${field}: it is not valid base64`);
  return bytes;
}

function floatsOf(bytes: Buffer): Float32Array {
  if (bytes.length % 4 !== 0)
    throw new Problem(
      422,
      `picture.features: ${counted(bytes.length, 'byte')}; expected float32, 4 bytes for each number`,
    );
  // A copy, because the bytes may begin at a place that is not a multiple of 4.
  return new Float32Array(Uint8Array.from(bytes).buffer);
}
