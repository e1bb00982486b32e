import { join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { SafetensorsFile } from '../../formats/safetensors.js';
import type { FeatureSource, SharedStore, SharedStoreShard } from '../features/featureSource.js';
import { fieldBits, manifestFile, readStoreManifest } from './storeForm.js';
import type { StoreManifest } from './storeForm.js';
import { idOf, readIndex } from './storeIndex.js';
import type { StoreIndex } from './storeIndex.js';
import type { StoreReader } from './storeReader.js';
import { openStoreReader } from './storeReader.js';

export interface OpenStoreOptions {
  /** Whether to compare the checksum of each image when it is read, which is slower. Default false. */
  readonly verifyReads?: boolean | undefined;
}

/** An open store. */
export interface FeatureStore {
  readonly path: string;
  readonly manifest: StoreManifest;
  readonly index: StoreIndex;
  readonly reader: StoreReader;
  readonly imageIds: readonly string[];
  /** Position of each image id. */
  readonly positions: ReadonlyMap<string, number>;
}

/**
 * Opens a feature store.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the file and what is wrong with it
 */
export async function openStore(path: string, { verifyReads = false }: OpenStoreOptions = {}): Promise<FeatureStore> {
  const manifest = await readStoreManifest(join(path, manifestFile));
  const indexPath = join(path, manifest.index.file);
  const index = await readIndex(indexPath);
  const { images } = manifest;
  if (index.counts.length !== images)
    throw new LxmertError('BAD_DATA', `${indexPath}: has ${index.counts.length} images, the manifest says ${images}`);
  const shards: SharedStoreShard[] = [];
  for (const shard of manifest.shards) shards.push(await readShardHeader(path, shard, manifest));
  checkPlaces(indexPath, index, manifest);
  const { featureDim, dtype } = manifest;
  const shared: SharedStore = { form: 'store', path, featureDim, dtype, index, shards, verify: verifyReads };
  const reader = await openStoreReader(shared);
  const imageIds = Array.from({ length: images }, (_, image) => idOf(index, image));
  const positions = new Map(imageIds.map((id, image) => [id, image]));
  if (positions.size !== images) {
    await reader.close();
    throw new LxmertError('BAD_DATA', `${indexPath}: has an image id twice`);
  }
  return { path, manifest, index, reader, imageIds, positions };
}

/** Where the tensors of a shard begin. */
async function readShardHeader(
  path: string,
  { file, objects }: StoreManifest['shards'][number],
  { featureDim, dtype, shards }: StoreManifest,
): Promise<SharedStoreShard> {
  const shard = await SafetensorsFile.open(join(path, file));
  try {
    const bytes = shards.find((one) => one.file === file)!.bytes;
    const offsets: Record<string, number> = {};
    for (const { name, offset } of shard.entries.values()) offsets[name] = offset;
    const expected = [
      ['features', dtype === 'float16' ? 'F16' : 'F32', [objects, featureDim]],
      ['boxes', 'F32', [objects, 4]],
      ['object_ids', 'I32', [objects]],
      ['object_confs', 'F32', [objects]],
      ['attr_ids', 'I32', [objects]],
      ['attr_confs', 'F32', [objects]],
    ] as const;
    for (const [name, type, shape] of expected) {
      const entry = shard.entries.get(name);
      if (!entry && name !== 'features' && name !== 'boxes') continue;
      if (!entry || entry.dtype !== type || entry.shape.join() !== shape.join())
        throw new LxmertError(
          'BAD_DATA',
          `${shard.path}: tensor '${name}' must be ${type} of shape [${shape.join(', ')}], as the manifest says; ` +
            `found ${entry ? `${entry.dtype} [${entry.shape.join(', ')}]` : 'none'}`,
        );
    }
    return { file, bytes, offsets };
  } finally {
    await shard.close();
  }
}

/** Every image must lie within its shard. */
function checkPlaces(path: string, index: StoreIndex, { shards }: StoreManifest): void {
  for (let image = 0; image < index.counts.length; image++) {
    const shard = shards.at(index.shards[image]);
    if (index.shards[image] >= 0 && shard && index.rows[image] + index.counts[image] <= shard.objects) continue;
    throw new LxmertError(
      'BAD_DATA',
      `${path}: image ${JSON.stringify(idOf(index, image))} lies outside of the shards`,
    );
  }
}

/**
 * A store as a source of features for training. @throws BAD_DATA if boxes cannot be converted to shares of the picture
 */
export async function openStoreSource(path: string, options: OpenStoreOptions = {}): Promise<FeatureSource> {
  const { manifest, index, reader, imageIds, positions } = await openStore(path, options);
  const { images, has } = manifest;
  const unsized = index.fields.findIndex((bits) => (bits & (fieldBits.size | fieldBits.shares)) === 0);
  if (unsized >= 0) {
    await reader.close();
    throw new LxmertError(
      'BAD_DATA',
      `${path}: image ${JSON.stringify(imageIds[unsized])} has boxes in pixels and no picture size, so they cannot be made ` +
        'shares of the picture. Import a form that has the sizes',
    );
  }
  return {
    ...{ reader, imageIds },
    indexOf: (imageId) => positions.get(imageId) ?? -1,
    remarks: manifest.skipped.length > 0 ? [`${manifest.skipped.length} records were skipped by its import`] : [],
    lacks: {
      objectClasses: has.object_ids < images || has.object_confs < images,
      attributeClasses: has.attr_ids < images || has.attr_confs < images,
    },
    labels: { objects: manifest.objectLabels, attributes: manifest.attributeLabels },
  };
}
