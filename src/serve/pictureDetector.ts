import { createHash } from 'node:crypto';
import { LxmertError } from '../errors.js';
import { counted } from '../figures.js';
import type { Picture } from '../finetune/index.js';
import { openDetector, shownToModel } from '../pictures/index.js';

/** The detector of the server, which turns uploaded pictures into features. */
export interface PictureDetector {
  /**
   * Detects the objects of a picture. The last pictures are kept, so that further questions about them need no detector.
   * @throws BAD_DATA for bytes that are no picture, or too many pixels; the reason of the signal
   */
  objectsOf(bytes: Buffer, signal: AbortSignal): Promise<Picture>;
  close(): Promise<void>;
}

/** Number of pictures whose objects are kept. */
const kept = 16;

export interface PictureDetectorOptions {
  readonly threads?: number | undefined;
  readonly maxPixels: number;
  /** Floats of one object's feature that the model takes. */
  readonly featureDim: number;
}

/** Opens a detector. @throws as `openDetector` */
export async function openPictureDetector(
  path: string,
  { threads, maxPixels, featureDim }: PictureDetectorOptions,
): Promise<PictureDetector> {
  const detector = await openDetector(path, { threads });
  const seen = new Map<string, Picture>();
  let turn: Promise<unknown> = Promise.resolve();

  const detect = async (bytes: Buffer): Promise<Picture> => {
    const source = { path: 'the picture', read: () => Promise.resolve(bytes), mostPixels: maxPixels };
    const picture = shownToModel(await detector.detect(await detector.prepare(source)));
    const width = (4 * picture.features.length) / picture.boxes.length;
    if (width === featureDim) return picture;
    throw new LxmertError(
      'BAD_DATA',
      `the detector ${path} gives ${counted(width, 'feature')} for each object; the model takes ${featureDim}. ` +
        'Use the detector whose features the model was trained with',
    );
  };
  const look = async (key: string, bytes: Buffer): Promise<Picture> => {
    const picture = seen.get(key) ?? (await detect(bytes));
    seen.delete(key);
    seen.set(key, picture);
    if (seen.size > kept) seen.delete(seen.keys().next().value!);
    return picture;
  };
  return {
    objectsOf: (bytes, signal) => {
      const key = createHash('sha256').update(bytes).digest('base64');
      // One picture at a time: the detector itself uses all threads.
      const mine = turn.then(() => {
        signal.throwIfAborted();
        return look(key, bytes);
      });
      turn = mine.catch(() => undefined);
      return mine;
    },
    close: async () => {
      await turn;
      await detector.close();
    },
  };
}
