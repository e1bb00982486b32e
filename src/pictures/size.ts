import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { shown } from '../formats/shown.js';
import { maxPixels } from './input/decode.js';
import { loadSharp } from './optionalPackages.js';

/** The size of a picture in pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/**
 * The size of a JPEG, PNG or WebP as it is shown, turned as EXIF says, or of an SVG such as `lxmert scenes` writes.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming the file, where no size can be read; UNSUPPORTED without the package that
 *   reads pictures
 */
export async function pictureSize(path: string): Promise<PictureSize> {
  const { width, height } = await (extname(path).toLowerCase() === '.svg' ? svgSize(path) : pixelSize(path));
  if (!(width > 0 && height > 0)) throw new LxmertError('BAD_DATA', `${path}: its size cannot be read`);
  return { width, height };
}

async function svgSize(path: string): Promise<PictureSize> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  const root = /<svg\b[^>]*>/.exec(text)?.[0] ?? '';
  const attribute = (name: string): number => Number(new RegExp(`\\s${name}="([\\d.]+)(?:px)?"`).exec(root)?.[1]);
  return { width: attribute('width'), height: attribute('height') };
}

async function pixelSize(path: string): Promise<PictureSize> {
  const sharp = await loadSharp();
  try {
    const { autoOrient } = await sharp(path, { limitInputPixels: maxPixels }).metadata();
    return autoOrient;
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new LxmertError('BAD_DATA', `${path}: it cannot be read as a picture: ${shown(reason)}`, { cause: error });
  }
}
