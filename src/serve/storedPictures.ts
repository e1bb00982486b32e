import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { allocateObjectRows } from '../data/features/featureSource.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import { readManifest } from '../data/samples/manifest.js';
import { LxmertError } from '../errors.js';
import { counted } from '../figures.js';
import type { Picture } from '../finetune/index.js';
import { findPictureFile } from '../formats/pictureFile.js';
import { isSceneFolder } from '../scenes/index.js';
import { drawing } from './drawing.js';

/** A picture as a file that a browser can show. */
export interface ShownFile {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Pictures with known features, which requests can name by their ids. */
export interface StoredPictures {
  readonly ids: readonly string[];
  /** Whether there is a picture of this id. */
  has(id: string): boolean;
  /** @throws BAD_DATA, FILE_ACCESS if the features cannot be read */
  read(id: string): Promise<Picture>;
  /** The picture file, or a drawing of the objects if there is no file. */
  show(id: string): Promise<ShownFile>;
  close(): Promise<void>;
}

export interface StoredPicturesOptions {
  readonly data?: string | undefined;
  readonly store?: string | undefined;
  readonly pictures?: string | undefined;
  /** Floats of one object's feature that the model takes. */
  readonly featureDim: number;
}

/**
 * Opens the features of a data folder, a store, or both. Without either, there are none.
 * @throws BAD_ARGUMENT, BAD_DATA, FILE_MISSING, FILE_ACCESS; BAD_DATA if the features are not as wide as those of the model
 */
export async function openStoredPictures({
  data,
  store,
  pictures,
  featureDim,
}: StoredPicturesOptions): Promise<StoredPictures> {
  const paths = [...(data === undefined ? [] : await featuresIn(data)), ...(store === undefined ? [] : [store])];
  if (paths.length === 0) return noPictures;
  const folder = pictures ?? (data === undefined ? undefined : join(data, 'pictures'));
  if (pictures !== undefined && !existsSync(pictures))
    throw new LxmertError('FILE_MISSING', `--pictures ${pictures}: there is no such folder`);
  const scene = data !== undefined && (await isSceneFolder(data));
  const files = new FeatureFiles();
  try {
    const { source } = await files.open(paths, {});
    const { reader, imageIds } = source;
    if (reader.featureDim !== featureDim)
      throw new LxmertError(
        'BAD_DATA',
        `${paths.join(', ')}: an object has ${counted(reader.featureDim, 'feature')}; the model takes ${featureDim}. ` +
          'Give the features with which the model was trained',
      );
    const rowsOf = async (id: string) => {
      const image = source.indexOf(id);
      const rows = allocateObjectRows(reader.numObjects(image), featureDim);
      await reader.read(image, rows, 0);
      return rows;
    };
    return {
      ids: imageIds,
      has: (id) => source.indexOf(id) >= 0,
      read: async (id) => {
        const { features, boxes } = await rowsOf(id);
        return { features, boxes };
      },
      show: async (id) => {
        const file = folder === undefined ? undefined : await findPictureFile(folder, id);
        if (!file) return { type: 'image/svg+xml', bytes: Buffer.from(drawing(await rowsOf(id), scene)) };
        const [, type, base64] = /^data:([^;]+);base64,(.*)$/s.exec(file.url)!;
        return { type, bytes: Buffer.from(base64, 'base64') };
      },
      close: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

const noPictures: StoredPictures = {
  ids: [],
  has: () => false,
  read: () => Promise.reject(new LxmertError('INTERNAL', 'there are no stored pictures')),
  show: () => Promise.reject(new LxmertError('INTERNAL', 'there are no stored pictures')),
  close: () => Promise.resolve(),
};

/** The feature files of all splits of a data folder. */
async function featuresIn(data: string): Promise<string[]> {
  const { splits } = await readManifest(data);
  if (splits.size === 0)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--data ${data}: the folder has no data.yaml, which names its feature files; name one feature file or store with --store`,
    );
  return [...splits.values()].map(({ features }) => (isAbsolute(features) ? features : join(data, features)));
}
