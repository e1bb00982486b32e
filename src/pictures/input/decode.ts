import { LxmertError } from '../../errors.js';
import { RegularFile } from '../../formats/regularFile.js';
import { shown } from '../../formats/shown.js';
import { loadSharp } from '../optionalPackages.js';
import type { Pixels } from './prepare.js';

/** Pictures with more pixels are refused: those of 16,384 × 16,384. */
export const maxPixels = 0x4000 * 0x4000 - 1;

/** Ends of the names of pictures in folders. */
export const pictureEndings: readonly string[] = ['.jpg', '.jpeg', '.png', '.webp'];

/** Where a picture is. */
export interface PictureSource {
  /** The file, for messages; of a picture in a zip the zip and the name. */
  readonly path: string;
  /** Reads the file's bytes, where `path` is not the name of a file. */
  readonly read?: (() => Promise<Uint8Array>) | undefined;
}

/**
 * Decodes a JPEG, PNG or WebP, of an animation the first frame, to red, green and blue of 8 bits. As OpenCV's `imread`:
 * turned as EXIF says, the alpha channel dropped, grey repeated, 16 bits cut to 8; colour profiles are passed over.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming the file, where it is no picture, cut short or too large; UNSUPPORTED
 */
export async function decodePicture({ path, read }: PictureSource): Promise<Pixels> {
  const sharp = await loadSharp();
  const bytes = await read?.();
  // sharp's own error does not tell a file that is missing from one that is no picture.
  if (!bytes) await (await RegularFile.open(path)).close();
  try {
    const picture = sharp(bytes ?? path, {
      failOn: 'truncated',
      limitInputPixels: maxPixels,
      ignoreIcc: true,
      animated: false,
    });
    const { format } = await picture.metadata();
    if (!['jpeg', 'png', 'webp', 'gif'].includes(format))
      throw new Error(`it is ${format}; expected JPEG, PNG or WebP`);
    const { data, info } = await picture
      .autoOrient()
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { width, height, data: channels === 3 ? data : repeated(data, channels, width * height) };
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new LxmertError('BAD_DATA', `${path}: it cannot be decoded as a picture: ${shown(reason)}`, { cause: error });
  }
}

/** Grey, three times for each pixel. */
function repeated(data: Uint8Array, channels: number, pixels: number): Uint8Array {
  const result = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) result.fill(data[i * channels], 3 * i, 3 * i + 3);
  return result;
}
