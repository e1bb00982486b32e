import { LxmertError, isLxmertError } from '../../errors.js';
import { byteSize } from '../../figures.js';
import { withWayOut } from './damage.js';
import { featureSource } from './featureSource.js';
import type { FeatureReader, FeatureSource, ObjectRows, SharedMemory } from './featureSource.js';
import type { MayFail } from './tsvIndex.js';
import { sharedArrays } from '../sharedArrays.js';

export interface LoadIntoMemoryOptions {
  /** Called if an image is damaged. If it returns true, the error is thrown only when this image is read from memory. */
  readonly mayFail?: MayFail | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a whole source into shared memory. The source stays open, and the caller must close it. Rejects with
 * OUT_OF_MEMORY, the errors of reading, and the signal's reason.
 */
export async function loadIntoMemory(
  source: FeatureSource,
  { mayFail, signal }: LoadIntoMemoryOptions = {},
): Promise<FeatureSource> {
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
    throw new LxmertError(
      'OUT_OF_MEMORY',
      `${path}: its features take ${byteSize(total * featureDim * 4)}, which does not fit into memory; open it with inMemory: false`,
      { cause: error },
    );
  }
  const damaged = new Map<number, string>();
  for (let i = 0; i < numImages; i++) {
    signal?.throwIfAborted();
    try {
      await reader.read(i, rows, rowOffsets[i]);
    } catch (error) {
      if (!isLxmertError(error) || error.code !== 'BAD_DATA' || !mayFail?.(imageIds[i], error)) throw withWayOut(error);
      damaged.set(i, error.message);
    }
  }
  const lines = reader.shared.form === 'tsv' ? reader.shared.index.lines : undefined;
  const shared = { form: 'memory', path, featureDim, rows, rowOffsets, damaged, lines } as const;
  return featureSource(new MemoryReader(shared), imageIds);
}

/** Copies everything except features from the rows `from … to - 1` to `into`, from row `row` on. */
export function copyDetections(rows: ObjectRows, from: number, to: number, into: ObjectRows, row: number): void {
  into.boxes.set(rows.boxes.subarray(from * 4, to * 4), row * 4);
  into.objectIds.set(rows.objectIds.subarray(from, to), row);
  into.objectConfs.set(rows.objectConfs.subarray(from, to), row);
  into.attrIds.set(rows.attrIds.subarray(from, to), row);
  into.attrConfs.set(rows.attrConfs.subarray(from, to), row);
}

/** Reads features that are in memory. */
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

  placeOf(image: number): string {
    const { path, lines } = this.shared;
    return lines === undefined ? path : `${path}: line ${lines[image]}`;
  }

  numObjects(image: number): number {
    return this.shared.rowOffsets[image + 1] - this.shared.rowOffsets[image];
  }

  async read(image: number, into: ObjectRows, row: number): Promise<void> {
    this.#demandWhole(image);
    const { rows, rowOffsets, featureDim: width } = this.shared;
    const from = rowOffsets[image];
    const to = rowOffsets[image + 1];
    into.features.set(rows.features.subarray(from * width, to * width), row * width);
    copyDetections(rows, from, to, into, row);
  }

  async readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void> {
    this.#demandWhole(image);
    const { rows, rowOffsets, featureDim: width } = this.shared;
    const at = (rowOffsets[image] + object) * width;
    features.set(rows.features.subarray(at, at + width), offset);
  }

  #demandWhole(image: number): void {
    const message = this.shared.damaged?.get(image);
    if (message !== undefined) throw new LxmertError('BAD_DATA', message);
  }

  async close(): Promise<void> {
    // The garbage collector frees the arrays.
  }
}
