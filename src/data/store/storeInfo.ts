import { LxmertError } from '../../errors.js';
import { toFloat32 } from '../../formats/dtypes.js';
import { openStore } from './openStore.js';
import { fieldBits } from './storeForm.js';
import type { StoreManifest } from './storeForm.js';

export interface StoreInfo {
  readonly manifest: StoreManifest;
  readonly bytes: number;
  /** Each number of objects, ascending, and the number of images that have so many objects. */
  readonly objectsPerImage: readonly (readonly [objects: number, images: number])[];
  readonly image?: ImageLook | undefined;
}

/** Details of one image. */
export interface ImageLook {
  readonly id: string;
  readonly place: string;
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly objects: readonly {
    readonly box: readonly number[];
    readonly objectId: number | undefined;
    readonly objectConf: number | undefined;
    readonly attrId: number | undefined;
    readonly attrConf: number | undefined;
    /** Norm of the feature. */
    readonly norm: number;
  }[];
}

/** @throws the errors of opening a store, and BAD_ARGUMENT for an image that the store does not have */
export async function storeInfo(path: string, imageId?: string): Promise<StoreInfo> {
  const { manifest, index, reader, positions } = await openStore(path);
  try {
    const counts = new Map<number, number>();
    for (const count of index.counts) counts.set(count, (counts.get(count) ?? 0) + 1);
    const image = imageId === undefined ? undefined : positions.get(imageId);
    if (imageId !== undefined && image === undefined)
      throw new LxmertError('BAD_ARGUMENT', `${path}: has no image ${JSON.stringify(imageId)}`);
    return {
      manifest,
      bytes: manifest.shards.reduce((sum, { bytes }) => sum + bytes, manifest.index.bytes),
      objectsPerImage: [...counts].sort(([a], [b]) => a - b),
      image: image === undefined ? undefined : await look(image),
    };
  } finally {
    await reader.close();
  }

  async function look(image: number): Promise<ImageLook> {
    const record = await reader.rawRecord(image);
    const features = record.features instanceof Uint16Array ? toFloat32('F16', record.features) : record.features;
    const sized = (index.fields[image] & fieldBits.size) !== 0;
    const width = features.length / record.count;
    return {
      ...{ id: imageId!, place: reader.placeOf(image) },
      width: sized ? index.widths[image] : undefined,
      height: sized ? index.heights[image] : undefined,
      objects: Array.from({ length: record.count }, (_, i) => ({
        box: [...record.boxes.subarray(4 * i, 4 * i + 4)],
        ...{ objectId: record.objectIds?.[i], objectConf: record.objectConfs?.[i] },
        ...{ attrId: record.attrIds?.[i], attrConf: record.attrConfs?.[i] },
        norm: Math.hypot(...features.subarray(i * width, (i + 1) * width)),
      })),
    };
  }
}
