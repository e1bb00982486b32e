import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { imageSize } from 'image-size';
import { LxmertError } from '../errors.js';
import { fileError } from './fileErrors.js';

/** A picture in the form in which a page or an SVG includes it. */
export interface PictureFile {
  /** The bytes as a data URL. */
  readonly url: string;
  /** Size in pixels of the picture as it is shown, which means after the rotation that EXIF asks for. */
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

/** The endings of the files that `findPictureFile` reads. */
export const pictureEndings = Object.keys(mediaTypes);

/** From this EXIF orientation on, width and height are swapped. */
const firstTurned = 5;

/**
 * Reads the picture of an image from a folder: `<image id>.jpg`, `.jpeg`, `.png`, `.webp` or `.svg`.
 * @returns undefined if there is no such file, or if the id has a slash, a backslash or a NUL and could leave the
 *   folder
 * @throws BAD_DATA for a file that is not a picture; FILE_ACCESS
 */
export async function findPictureFile(folder: string, imageId: string): Promise<PictureFile | undefined> {
  if (/[/\\\0]/.test(imageId)) return undefined;
  const path = pictureEndings.map((ending) => join(folder, imageId + ending)).find((one) => existsSync(one));
  if (path === undefined) return undefined;
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  const type = mediaTypes[extname(path)];
  return { url: `data:${type};base64,${bytes.toString('base64')}`, ...sizeOf(bytes, path) };
}

function sizeOf(bytes: Buffer, path: string): Pick<PictureFile, 'width' | 'height'> {
  try {
    const { width, height, orientation = 1 } = imageSize(bytes);
    if (width > 0 && height > 0)
      return orientation < firstTurned ? { width, height } : { width: height, height: width };
  } catch {
    // The error below names the file.
  }
  throw new LxmertError(
    'BAD_DATA',
    `${path}: its size cannot be read, so the file is not a complete picture; replace or remove it`,
  );
}
