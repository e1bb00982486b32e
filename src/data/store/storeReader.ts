import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';
import { fileError } from '../../formats/fileErrors.js';
import { toFloat32 } from '../../formats/dtypes.js';
import { RowPlan } from '../../io/readRows.js';
import { allSettled } from '../concurrency.js';
import type { FeatureReader, ObjectRows, SharedStore } from '../features/featureSource.js';
import { crcOf } from './record.js';
import { fieldBits } from './storeForm.js';
import { idOf } from './storeIndex.js';

/** Number of images that one native call reads. More would leave other threads without work; fewer would cost more calls. */
const IMAGES_A_CALL = 8;
/** Number of images that are read at once if their checksums are compared. */
const CHECKED_AT_ONCE = 4;

/** Opens the shards of a store. Rejects with BAD_DATA if the size of a shard is not the size in the manifest. */
export async function openStoreReader(shared: SharedStore): Promise<StoreReader> {
  const handles: FileHandle[] = [];
  try {
    for (const { file, bytes } of shared.shards) {
      const path = join(shared.path, file);
      const handle = await open(path).catch((error: unknown) => {
        throw fileError(error, 'read', path);
      });
      handles.push(handle);
      const { size } = await handle.stat();
      if (size !== bytes)
        throw new LxmertError(
          'BAD_DATA',
          `${path}: has ${size} bytes, the manifest says ${bytes}; is it cut short, or another store's? Copy it again`,
        );
    }
  } catch (error) {
    await Promise.all(handles.map((handle) => handle.close()));
    throw error;
  }
  return new StoreReader(handles, shared);
}

/** The indices of the targets in a call. */
const targets = { features: 0, boxes: 1, objectIds: 2, objectConfs: 3, attrIds: 4, attrConfs: 5 } as const;

/** Reads images of a store: positional reads by the addon, on other threads, into the memory of the batch. */
export class StoreReader implements FeatureReader {
  readonly shared: SharedStore;
  readonly #handles: readonly FileHandle[];
  readonly #fds: Int32Array;
  #closed: Promise<void> | undefined;
  /** Native calls that have not ended. The files stay open until then. */
  readonly #reading = new Set<Promise<unknown>>();

  constructor(handles: readonly FileHandle[], shared: SharedStore) {
    this.#handles = handles;
    this.#fds = Int32Array.from(handles, ({ fd }) => fd);
    this.shared = shared;
  }

  get path(): string {
    return this.shared.path;
  }

  get featureDim(): number {
    return this.shared.featureDim;
  }

  placeOf(image: number): string {
    const { path, shards, index } = this.shared;
    return `${join(path, shards[index.shards[image]].file)}: row ${index.rows[image]}`;
  }

  numObjects(image: number): number {
    return this.shared.index.counts[image];
  }

  read(image: number, rows: ObjectRows, row: number): Promise<void> {
    return this.readAll([image], rows, [row]);
  }

  /** Reads some images. The objects of each image are written from a given row on. */
  async readAll(images: ArrayLike<number>, rows: ObjectRows, starts: ArrayLike<number>): Promise<void> {
    if (this.shared.verify) return this.#readChecked(images, rows, starts);
    const calls: Promise<void>[] = [];
    for (let from = 0; from < images.length; from += IMAGES_A_CALL)
      calls.push(this.#readSome(images, rows, starts, from, Math.min(from + IMAGES_A_CALL, images.length)));
    await allSettled(calls);
    for (let i = 0; i < images.length; i++) this.#finishBoxes(images[i], rows, starts[i]);
  }

  async readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void> {
    if (this.shared.verify) {
      const record = await this.#checked(image);
      features.set(record.subarray(object * this.featureDim, (object + 1) * this.featureDim), offset);
      return;
    }
    const { featureDim: width, dtype } = this.shared;
    const plan = new RowPlan(1);
    const half = dtype === 'float16';
    const at = this.#placeOf(image, 'features', (this.shared.index.rows[image] + object) * width * (half ? 2 : 4));
    plan.add(this.#fdOf(image), at, width, half, 0, offset);
    await this.#run(plan, [features], () => image);
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#reading).then(async () => {
      await Promise.all(this.#handles.map((handle) => handle.close()));
    });
    return this.#closed;
  }

  #fdOf(image: number): number {
    if (this.#closed) throw new LxmertError('DISPOSED', `${this.path}: the features are closed`);
    return this.#fds[this.shared.index.shards[image]];
  }

  /** The position of an element of a tensor, in bytes, in the file of an image's shard. */
  #placeOf(image: number, tensor: string, bytes: number): number {
    const offset = this.shared.shards[this.shared.index.shards[image]].offsets[tensor];
    return offset + bytes;
  }

  async #readSome(
    images: ArrayLike<number>,
    into: ObjectRows,
    starts: ArrayLike<number>,
    from: number,
    to: number,
  ): Promise<void> {
    const { featureDim: width, dtype, index } = this.shared;
    const half = dtype === 'float16';
    const plan = new RowPlan((to - from) * 6);
    const owners: number[] = [];
    for (let i = from; i < to; i++) {
      const image = images[i];
      const fd = this.#fdOf(image);
      const [row, count, has, start] = [index.rows[image], index.counts[image], index.fields[image], starts[i]];
      const add = (tensor: string, columns: number, target: number, bytes: number) => {
        const at = this.#placeOf(image, tensor, row * columns * bytes);
        plan.add(fd, at, count * columns, bytes === 2, target, start * columns);
        owners.push(image);
      };
      add('features', width, targets.features, half ? 2 : 4);
      add('boxes', 4, targets.boxes, 4);
      if (has & fieldBits.object_ids) add('object_ids', 1, targets.objectIds, 4);
      else into.objectIds.fill(0, start, start + count);
      if (has & fieldBits.object_confs) add('object_confs', 1, targets.objectConfs, 4);
      else into.objectConfs.fill(0, start, start + count);
      if (has & fieldBits.attr_ids) add('attr_ids', 1, targets.attrIds, 4);
      else into.attrIds.fill(0, start, start + count);
      if (has & fieldBits.attr_confs) add('attr_confs', 1, targets.attrConfs, 4);
      else into.attrConfs.fill(0, start, start + count);
    }
    const { features, boxes, objectIds, objectConfs, attrIds, attrConfs } = into;
    await this.#run(plan, [features, boxes, objectIds, objectConfs, attrIds, attrConfs], (run) => owners[run]);
  }

  async #run(
    plan: RowPlan,
    into: readonly (Float32Array | Int32Array)[],
    imageOf: (run: number) => number,
  ): Promise<void> {
    const reading = plan.read(into);
    this.#reading.add(reading);
    const result = await reading.finally(() => this.#reading.delete(reading));
    if (result === -1) return;
    if (result >= 0) throw this.#error(imageOf(result), 'is gone: the file has become shorter since it was opened');
    throw new LxmertError('FILE_ACCESS', `${this.path}: cannot be read (system error ${-1 - result})`);
  }

  /** Boxes in pixels become shares, as those of a TSV do. */
  #finishBoxes(image: number, { boxes }: ObjectRows, start: number): void {
    const { index } = this.shared;
    if (index.fields[image] & fieldBits.shares) return;
    const width = index.widths[image];
    const height = index.heights[image];
    const end = (start + index.counts[image]) * 4;
    for (let at = start * 4; at < end; at += 2) {
      boxes[at] /= width;
      boxes[at + 1] /= height;
    }
  }

  #error(image: number, problem: string): LxmertError {
    return new LxmertError(
      'BAD_DATA',
      `${this.placeOf(image)}: ${problem} (image ${describeValue(idOf(this.shared.index, image))})`,
    );
  }

  async #readChecked(images: ArrayLike<number>, rows: ObjectRows, starts: ArrayLike<number>): Promise<void> {
    for (let from = 0; from < images.length; from += CHECKED_AT_ONCE) {
      const some = Array.from({ length: Math.min(CHECKED_AT_ONCE, images.length - from) }, (_, i) => from + i);
      await allSettled(some.map((i) => this.#readOneChecked(images[i], rows, starts[i])));
    }
  }

  async #readOneChecked(image: number, rows: ObjectRows, start: number): Promise<void> {
    const raw = await this.rawRecord(image);
    rows.features.set(floatsOf(raw.features), start * this.featureDim);
    rows.boxes.set(raw.boxes, start * 4);
    const { count } = raw;
    const set = (into: Float32Array | Int32Array, values: ArrayLike<number> | undefined) =>
      values === undefined ? into.fill(0, start, start + count) : into.set(values, start);
    set(rows.objectIds, raw.objectIds);
    set(rows.objectConfs, raw.objectConfs);
    set(rows.attrIds, raw.attrIds);
    set(rows.attrConfs, raw.attrConfs);
    this.#finishBoxes(image, rows, start);
  }

  async #checked(image: number): Promise<Float32Array> {
    return floatsOf((await this.rawRecord(image)).features);
  }

  /** Returns the numbers of an image as they are stored in its shard, and compares their checksum. @throws BAD_DATA */
  async rawRecord(image: number): Promise<StoredRecord> {
    const { featureDim: width, dtype, index } = this.shared;
    const [row, count, has] = [index.rows[image], index.counts[image], index.fields[image]];
    const handle = this.#handles[index.shards[image]];
    const bytes = async (tensor: string, columns: number, size: number): Promise<ArrayBuffer> => {
      const buffer = new Uint8Array(count * columns * size);
      for (let done = 0; done < buffer.length;) {
        const position = this.#placeOf(image, tensor, row * columns * size) + done;
        const { bytesRead } = await handle
          .read(buffer, done, buffer.length - done, position)
          .catch((error: unknown) => {
            throw fileError(error, 'read', this.path);
          });
        if (bytesRead === 0) throw this.#error(image, 'is gone: the file has become shorter since it was opened');
        done += bytesRead;
      }
      return buffer.buffer;
    };
    const floats = async (tensor: string, bit: number) =>
      has & bit ? new Float32Array(await bytes(tensor, 1, 4)) : undefined;
    const integers = async (tensor: string, bit: number) =>
      has & bit ? new Int32Array(await bytes(tensor, 1, 4)) : undefined;
    const record = {
      count,
      features:
        dtype === 'float16'
          ? new Uint16Array(await bytes('features', width, 2))
          : new Float32Array(await bytes('features', width, 4)),
      boxes: new Float32Array(await bytes('boxes', 4, 4)),
      objectIds: await integers('object_ids', fieldBits.object_ids),
      objectConfs: await floats('object_confs', fieldBits.object_confs),
      attrIds: await integers('attr_ids', fieldBits.attr_ids),
      attrConfs: await floats('attr_confs', fieldBits.attr_confs),
    };
    if (crcOf(record) !== index.crcs[image])
      throw this.#error(
        image,
        'has changed since it was imported: its checksum is wrong. Copy or import the store again',
      );
    return record;
  }
}

/** The numbers of an image as they are stored in a shard. */
export interface StoredRecord {
  readonly count: number;
  readonly features: Float32Array | Uint16Array;
  readonly boxes: Float32Array;
  readonly objectIds: Int32Array | undefined;
  readonly objectConfs: Float32Array | undefined;
  readonly attrIds: Int32Array | undefined;
  readonly attrConfs: Float32Array | undefined;
}

const floatsOf = (features: Float32Array | Uint16Array): Float32Array =>
  features instanceof Uint16Array ? toFloat32('F16', features) : features;
