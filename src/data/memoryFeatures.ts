import { LxmertError } from '../errors.js';
import { allocateObjectRows } from './featureSource.js';
import type { FeatureSource, ObjectRows } from './featureSource.js';

/** Reads all of a source once and keeps it, packed. The source stays open; close it afterwards. */
export async function loadIntoMemory(source: FeatureSource): Promise<FeatureSource> {
  const rowOffsets = new Float64Array(source.numImages + 1);
  for (let i = 0; i < source.numImages; i++) rowOffsets[i + 1] = rowOffsets[i] + source.numObjects(i);
  const total = rowOffsets[source.numImages];
  let rows: ObjectRows;
  try {
    rows = allocateObjectRows(total, source.featureDim);
  } catch (error) {
    const gigabytes = ((total * source.featureDim * 4) / 1e9).toFixed(1);
    throw new LxmertError(
      'OUT_OF_MEMORY',
      `${source.path}: its features take ${gigabytes} GB, which does not fit into memory; open it with inMemory: false`,
      { cause: error },
    );
  }
  for (let i = 0; i < source.numImages; i++) await source.read(i, rows, rowOffsets[i]);
  return new MemorySource(source, rows, rowOffsets);
}

class MemorySource implements FeatureSource {
  readonly path: string;
  readonly featureDim: number;
  readonly numImages: number;
  readonly imageIds: readonly string[];
  readonly #rows: ObjectRows;
  readonly #rowOffsets: Float64Array;
  readonly #positions: ReadonlyMap<string, number>;

  constructor(source: FeatureSource, rows: ObjectRows, rowOffsets: Float64Array) {
    this.path = source.path;
    this.featureDim = source.featureDim;
    this.numImages = source.numImages;
    this.imageIds = source.imageIds;
    this.#rows = rows;
    this.#rowOffsets = rowOffsets;
    this.#positions = new Map(source.imageIds.map((id, i) => [id, i]));
  }

  indexOf(imageId: string): number {
    return this.#positions.get(imageId) ?? -1;
  }

  numObjects(image: number): number {
    return this.#rowOffsets[image + 1] - this.#rowOffsets[image];
  }

  async read(image: number, into: ObjectRows, row: number): Promise<void> {
    const from = this.#rowOffsets[image];
    const to = this.#rowOffsets[image + 1];
    const rows = this.#rows;
    const width = this.featureDim;
    into.features.set(rows.features.subarray(from * width, to * width), row * width);
    into.boxes.set(rows.boxes.subarray(from * 4, to * 4), row * 4);
    into.objectIds.set(rows.objectIds.subarray(from, to), row);
    into.objectConfs.set(rows.objectConfs.subarray(from, to), row);
    into.attrIds.set(rows.attrIds.subarray(from, to), row);
    into.attrConfs.set(rows.attrConfs.subarray(from, to), row);
  }

  async readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void> {
    const at = (this.#rowOffsets[image] + object) * this.featureDim;
    features.set(this.#rows.features.subarray(at, at + this.featureDim), offset);
  }

  async close(): Promise<void> {
    // Nothing to release: the arrays go with this object.
  }
}
