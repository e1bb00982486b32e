import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join, parse } from 'node:path';
import { imageSize } from 'image-size';
import { fileError } from '../formats/fileErrors.js';
import type { PictureView } from '../report/sampleView.js';
import { paintedObject } from '../scenes/index.js';
import { html, trusted, type Html } from './html.js';

/** Pictures of samples, by image id: a data URI, or a reason why there is none. */
export type PictureSource = (id: string) => Promise<PictureFile | undefined>;

export interface PictureFile {
  readonly uri: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

const mediaTypes: Readonly<Record<string, string>> = {
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.svg': 'image/svg+xml',
};

/** Larger files would make the page too large. */
const mostBytes = 3_000_000;

/**
 * The pictures of a folder, `<image id>.<jpg, png, webp or svg>`. A picture that is missing or larger than 3 MB is left out.
 * @throws FILE_MISSING, FILE_ACCESS for the folder
 */
export async function pictureFolder(folder: string | undefined): Promise<PictureSource> {
  if (folder === undefined) return async () => undefined;
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, 'read the folder of pictures', folder);
  });
  const files = new Map(
    names
      .filter((name) => extname(name).toLowerCase() in mediaTypes)
      .map((name) => [parse(name).name, join(folder, name)]),
  );
  return async (id) => {
    const file = files.get(id);
    if (file === undefined || (await stat(file)).size > mostBytes) return undefined;
    const bytes = await readFile(file);
    const size = sizeOf(bytes);
    return (
      size && { ...size, uri: `data:${mediaTypes[extname(file).toLowerCase()]};base64,${bytes.toString('base64')}` }
    );
  };
}

/** Width and height of a picture; undefined for bytes that are no picture. */
function sizeOf(bytes: Buffer): { readonly width: number; readonly height: number } | undefined {
  try {
    const { width, height } = imageSize(bytes);
    return width > 0 && height > 0 ? { width, height } : undefined;
  } catch {
    return undefined;
  }
}

/** The frame in which boxes are drawn, where the picture's size is not known. */
const frame = { width: 400, height: 300 } as const;

export interface PictureOptions {
  readonly file: PictureFile | undefined;
  /** The objects are shapes of synthetic scenes, and are drawn as such. */
  readonly scene: boolean;
  /** Names of object classes, by number; a number is shown where there is none. */
  readonly classNames?: readonly string[] | undefined;
}

/** A picture with the boxes of its objects: over the file, as shapes of a scene, or in an empty frame. */
export function picture({ id, boxes, objects, attributes }: PictureView, options: PictureOptions): Html {
  const { file, scene, classNames } = options;
  const { width } = frame;
  const height = file ? (width * file.height) / file.width : frame.height;
  const scaled = boxes.map(([x0, y0, x1, y1]) => [x0 * width, y0 * height, x1 * width, y1 * height] as const);
  const classOf = (i: number): string => classNames?.[objects[i]] ?? `class ${objects[i]}`;
  const painted = scene && !file ? scaled.map((box, i) => paintedObject(objects[i], attributes[i], box)) : [];
  const outlined = painted.length === 0 || painted.some((one) => one === undefined);
  const what = `picture ${id} with ${boxes.length} ${boxes.length === 1 ? 'object' : 'objects'}`;
  return html`<svg viewBox="0 0 ${width} ${height.toFixed(1)}" role="img" aria-label="${what}">
    ${file && html`<image href="${file.uri}" width="${width}" height="${height.toFixed(1)}" preserveAspectRatio="none" />`}
    ${outlined ? [] : painted.map((one) => trusted(one ?? ''))}
    ${
      outlined
        ? scaled.map(
            ([x0, y0, x1, y1], i) =>
              html`<rect
                x="${x0.toFixed(1)}"
                y="${y0.toFixed(1)}"
                width="${Math.max(0, x1 - x0).toFixed(1)}"
                height="${Math.max(0, y1 - y0).toFixed(1)}"
                fill="none"
                stroke="var(--line-${i % 8})"
                stroke-width="1.5"
                ><title>${classOf(i)}</title></rect
              >`,
          )
        : []
    }
  </svg>`;
}
