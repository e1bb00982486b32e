import { LxmertError } from '../../errors.js';
import { RegularFile } from '../../formats/regularFile.js';
import { shown } from '../../formats/shown.js';
import { loadSharp } from '../optionalPackages.js';
import type { Pixels } from './prepare.js';

/** The largest number of pixels of a picture. A picture of 16,384 × 16,384 pixels is refused. */
export const maxPixels = 0x4000 * 0x4000 - 1;

/** The endings of picture files. In folders and zips, other files are ignored. */
export const pictureEndings: readonly string[] = ['.jpg', '.jpeg', '.png', '.webp'];

/** The place of a picture. */
export interface PictureSource {
  /** The file, for messages. For a picture in a zip, the zip and the name in it. */
  readonly path: string;
  /** Reads the bytes of the picture. Absent if `path` is the name of a file. */
  readonly read?: (() => Promise<Uint8Array>) | undefined;
  /** A smaller limit than `maxPixels`. */
  readonly mostPixels?: number | undefined;
}

/**
 * Decodes a JPEG, PNG or WebP to red, green and blue of 8 bits. If the file is an animation, it decodes the first
 * frame. As in OpenCV's `imread`, the picture is rotated as EXIF says, and the alpha channel is dropped. Grey is copied
 * to the three channels, 16 bits are reduced to 8, and colour profiles are ignored.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming the file if it is not a picture, is cut short or is too large;
 *   UNSUPPORTED
 */
export async function decodePicture({ path, read, mostPixels = maxPixels }: PictureSource): Promise<Pixels> {
  const sharp = await loadSharp();
  const bytes = await read?.();
  // sharp gives the same error for a missing file and for a file that is not a picture, so the file is opened here
  // first.
  if (!bytes) await (await RegularFile.open(path)).close();
  try {
    const picture = sharp(bytes ?? path, {
      failOn: 'truncated',
      limitInputPixels: mostPixels,
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
    const [message] = (error instanceof Error ? error.message : String(error)).split('\n');
    const reason = message.includes('pixel limit') ? `it has more than ${mostPixels} pixels` : message;
    throw new LxmertError('BAD_DATA', `${path}: it cannot be decoded as a picture: ${shown(reason)}`, { cause: error });
  }
}

/** Copies the first channel of each pixel to three channels. */
function repeated(data: Uint8Array, channels: number, pixels: number): Uint8Array {
  const result = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) result.fill(data[i * channels], 3 * i, 3 * i + 3);
  return result;
}
