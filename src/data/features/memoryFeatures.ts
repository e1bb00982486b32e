import { LxmertError } from '../../errors.js';
import { featureSource } from './featureSource.js';
import type { FeatureReader, FeatureSource, ObjectRows, SharedMemory } from './featureSource.js';
import { sharedArrays } from '../sharedArrays.js';

/**
 * Reads all of a source once and keeps it, packed, in shared memory. The source stays open; close it afterwards. Rejects with
 * OUT_OF_MEMORY, with what reading rejects with, and with the signal's reason.
 */
export async function loadIntoMemory(source: FeatureSource, signal?: AbortSignal): Promise<FeatureSource> {
  const { reader, imageIds } = source;
  const { path, featureDim } = reader;
  const numImages = imageIds.length;
  const rowOffsets = sharedArrays.float64(numImages + 1);
  for (let i = 0; i < numImages; i++) rowOffsets[i + 1] = rowOffsets[i] + reader.numObjects(i);
  const total = rowOffsets[numImages];
  let rows: ObjectRows;
  try {
    rows = {
      features: sharedArrays.float32(total * featureDim),
      boxes: sharedArrays.float32(total * 4),
      objectIds: sharedArrays.int32(total),
      objectConfs: sharedArrays.float32(total),
      attrIds: sharedArrays.int32(total),
      attrConfs: sharedArrays.float32(total),
    };
  } catch (error) {
    const gigabytes = ((total * featureDim * 4) / 1e9).toFixed(1);
    throw new LxmertError(
      'OUT_OF_MEMORY',
      `${path}: its features take ${gigabytes} GB, which does not fit into memory; open it with inMemory: false`,
      { cause: error },
    );
  }
  for (let i = 0; i < numImages; i++) {
    signal?.throwIfAborted();
    await reader.read(i, rows, rowOffsets[i]);
  }
  return featureSource(new MemoryReader({ form: 'memory', path, featureDim, rows, rowOffsets }), imageIds);
}

/** Copies all but the features of rows `from … to - 1` into `into` from row `row` on. */
export function copyDetections(rows: ObjectRows, from: number, to: number, into: ObjectRows, row: number): void {
  into.boxes.set(rows.boxes.subarray(from * 4, to * 4), row * 4);
  into.objectIds.set(rows.objectIds.subarray(from, to), row);
  into.objectConfs.set(rows.objectConfs.subarray(from, to), row);
  into.attrIds.set(rows.attrIds.subarray(from, to), row);
  into.attrConfs.set(rows.attrConfs.subarray(from, to), row);
}

/** Reads features that lie in memory. */
export class MemoryReader implements FeatureReader {
  readonly shared: SharedMemory;

  constructor(shared: SharedMemory) {
    this.shared = shared;
  }

  get path(): string {
    return this.shared.path;
  }

  get featureDim(): number {
    return this.shared.featureDim;
  }

  placeOf(): string {
    return this.shared.path;
  }

  numObjects(image: number): number {
    return this.shared.rowOffsets[image + 1] - this.shared.rowOffsets[image];
  }

  async read(image: number, into: ObjectRows, row: number): Promise<void> {
    const { rows, rowOffsets, featureDim: width } = this.shared;
    const from = rowOffsets[image];
    const to = rowOffsets[image + 1];
    into.features.set(rows.features.subarray(from * width, to * width), row * width);
    copyDetections(rows, from, to, into, row);
  }

  async readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void> {
    const { rows, rowOffsets, featureDim: width } = this.shared;
    const at = (rowOffsets[image] + object) * width;
    features.set(rows.features.subarray(at, at + width), offset);
  }

  async close(): Promise<void> {
    // Nothing to release: the arrays go with this object.
  }
}
