import { extname } from 'node:path';
import { storeInfo } from '../data/store/index.js';
import type { ImageLook } from '../data/store/index.js';
import { LxmertError } from '../errors.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { readText } from '../formats/text.js';
import { decodePicture } from './input/decode.js';
import { loadSharp } from './optionalPackages.js';
import { renderSvg } from './renderSvg.js';

export interface DrawOptions {
  /** The picture from which the features were made. */
  readonly picture: string;
  /** The file to write, `.svg` or `.png`. An existing file is replaced. */
  readonly out: string;
  /**
   * Files with the names of classes and attributes, one line for each class. If a line has several names with commas
   * between them, the first name is shown.
   */
  readonly classes?: string | undefined;
  readonly attributes?: string | undefined;
  /** The number of objects to draw, the most certain first; default: all. */
  readonly most?: number | undefined;
}

/** The largest PNG, in bytes, on which boxes are drawn. */
const maxPictureBytes = 2 ** 28;

const colours = ['#e6194b', '#3cb44b', '#4363d8', '#f58231', '#911eb4', '#008080', '#9a6324', '#800000'];

/**
 * Draws a picture with its boxes, classes and attributes from a feature store.
 * @returns the number of objects that are drawn
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA; BAD_ARGUMENT if `out` has another ending; UNSUPPORTED without sharp
 */
export async function drawObjects(
  store: string,
  id: string,
  { picture, out, classes, attributes, most }: DrawOptions,
): Promise<number> {
  const ending = extname(out).toLowerCase();
  if (ending !== '.svg' && ending !== '.png')
    throw new LxmertError('BAD_ARGUMENT', `${out}: a drawing is .svg or .png; name such a file`);
  const [classNames, attributeNames] = [await namesIn(classes), await namesIn(attributes)];
  const { image, manifest } = await storeInfo(store, id);
  const { width, height, data } = await decodePicture({ path: picture });
  if (image!.width !== undefined && (image!.width !== width || image!.height !== height))
    throw new LxmertError(
      'BAD_DATA',
      `${picture} has ${width} × ${height} pixels, but the features of ${id} are of a picture of ${image!.width} × ${image!.height}`,
    );
  const sharp = await loadSharp();
  const png = await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  if (png.length > maxPictureBytes) throw new LxmertError('BAD_DATA', `${picture}: it is too large to be drawn on`);
  const objects = image!.objects.slice(0, most);
  // Some images of a store may have boxes as shares, and others in pixels. A box in pixels has values above 1.
  const shares = manifest.boxesAsShares > 0 && objects.every(({ box }) => box.every((value) => value <= 1));
  const svg = drawing({ width, height, png }, objects, { shares, classNames, attributeNames });
  await writeFileAtomic(out, ending === '.svg' ? svg : await renderSvg(svg));
  return objects.length;
}

/** The first name of each line of a file in the form of the published lists; undefined without a file. */
async function namesIn(path: string | undefined): Promise<readonly string[] | undefined> {
  if (path === undefined) return undefined;
  const lines = (await readText(path, 'names of classes')).split('\n').map((line) => line.trim());
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => line.split(',')[0]);
}

interface Names {
  readonly shares: boolean;
  readonly classNames: readonly string[] | undefined;
  readonly attributeNames: readonly string[] | undefined;
}

interface Base {
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

function drawing({ width, height, png }: Base, objects: ImageLook['objects'], names: Names): string {
  const unit = Math.max(1, Math.min(width, height) / 400);
  const font = 11 * unit;
  const [x, y] = names.shares ? [width, height] : [1, 1];
  const shapes = objects.flatMap(({ box, objectId, objectConf, attrId }, i) => {
    const [left, top, right, bottom] = [box[0] * x, box[1] * y, box[2] * x, box[3] * y];
    const colour = colours[i % colours.length];
    const label = [
      nameOf(attrId, names.attributeNames),
      nameOf(objectId, names.classNames),
      objectConf === undefined ? '' : objectConf.toFixed(2),
    ]
      .filter((part) => part !== '')
      .join(' ');
    const at = Math.max(top, font);
    return [
      `<rect x="${left}" y="${top}" width="${right - left}" height="${bottom - top}" fill="none" stroke="${colour}" stroke-width="${2 * unit}"/>`,
      `<text x="${left + 2 * unit}" y="${at - 2 * unit}" fill="${colour}" stroke="white" stroke-width="${3 * unit}" paint-order="stroke">${escaped(label)}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="${font}">`,
    `<image width="${width}" height="${height}" href="data:image/png;base64,${Buffer.from(png).toString('base64')}"/>`,
    ...shapes,
    '</svg>',
    '',
  ].join('\n');
}

/** The name of a class, or its number. */
const nameOf = (id: number | undefined, names: readonly string[] | undefined): string =>
  id === undefined ? '' : (names?.[id] ?? String(id));

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
