import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { makeFolder, syncFolder, writeFileDurable } from '../../formats/atomicFile.js';
import { fileError, isThere } from '../../formats/fileErrors.js';
import { describeValue } from '../../formats/describe.js';
import { counted } from '../../figures.js';
import type { EncodedRecord } from './record.js';
import { recordError } from './record.js';
import { ShardWriter, sha256OfFile } from './shardWriter.js';
import {
  fieldBits,
  indexFile,
  manifestFile,
  manifestOf,
  readStoreManifest,
  shardFile,
  storeFields,
} from './storeForm.js';
import type { SkippedRecord, StoreDtype, StoreManifest, StoreSource } from './storeForm.js';
import { IndexBuilder, entriesOf, readIndex, writeIndex } from './storeIndex.js';
import type { StoreIndex } from './storeIndex.js';
import { openWorkFolder, workFolderOf } from './workFolder.js';
import type { SourcePosition, WorkFolder } from './workFolder.js';

/** A record of a source, or the reason why it is left out; and the position after it. */
export type SourceItem = {
  readonly position: SourcePosition;
  /** The number of the record, for messages. */ readonly number: number;
} & (
  | { readonly record: EncodedRecord; readonly skipped?: undefined }
  | { readonly record?: undefined; readonly skipped: SkippedRecord }
);

/** The source from which a store is made. */
export interface RecordSource {
  readonly sources: readonly StoreSource[];
  /** The files, for messages. */
  readonly path: string;
  /** Names, sizes and times of the source's files. An import continues an earlier one only if they are the same. */
  readonly identity: unknown;
  /** The word for the number of a record in messages: `line` or `record`. */
  readonly unit: string;
  /** The records from a position on, or from the start. */
  items(from: SourcePosition | undefined): AsyncIterable<SourceItem>;
}

export interface WriteStoreOptions {
  readonly dtype: StoreDtype;
  readonly objectLabels: number;
  readonly attributeLabels: number;
  /** Whether a record with the id of an earlier one is left out. By default it is an error. */
  readonly skipBad?: boolean | undefined;
  /** Bytes of features of a shard; default 512 MiB. The last record may exceed it. */
  readonly shardBytes?: number | undefined;
  /**
   * Other settings that change the contents of the store. An import continues an earlier one only if they are the same.
   */
  readonly settings?: unknown;
  readonly signal?: AbortSignal | undefined;
  /**
   * Called after every record with the number of images so far, including those of a killed import that is continued.
   */
  readonly onImage?: ((images: number) => void) | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
}

const SHARD_BYTES = 512 * 2 ** 20;

/**
 * Makes a store. It is made in `OUT.importing` and gets its name when it is complete. If the process is killed, that
 * folder remains. The same call then continues the work in this folder, and the result has the same bytes.
 * @throws FILE_ACCESS if `out` exists; BAD_DATA; the signal's reason; the errors of the source
 */
export async function writeStore(
  out: string,
  source: RecordSource,
  options: WriteStoreOptions,
): Promise<StoreManifest> {
  if (await isThere(out)) {
    // An earlier import was killed between its last two steps. The store is complete, and the work folder is empty.
    const work = workFolderOf(out);
    if ((await isThere(work)) && !(await isThere(join(work, 'store')))) {
      await rm(work, { recursive: true, force: true });
      return readStoreManifest(join(out, manifestFile));
    }
    throw new LxmertError('FILE_ACCESS', `${out}: is there already; remove it, or give another name`);
  }
  const { dtype, objectLabels, attributeLabels, shardBytes = SHARD_BYTES, settings } = options;
  const name = JSON.stringify({
    ...{ form: 1, dtype, objectLabels, attributeLabels, shardBytes, skipBad: options.skipBad ?? false, settings },
    source: source.identity,
  });
  await makeFolder(dirname(out)).catch((error: unknown) => {
    throw fileError(error, 'write', out);
  });
  const work = await openWorkFolder(out, name);
  try {
    if (work.startedOver)
      options.onNote?.(`${work.path}: was of another import (other files or settings); starting over`);
    const manifest = await new StoreBuilder(work, source, { ...options, shardBytes }).build();
    await rename(work.store, out).catch((error: unknown) => {
      throw fileError(error, 'write', out);
    });
    await syncFolder(dirname(out));
    await rm(work.path, { recursive: true, force: true });
    return manifest;
  } catch (error) {
    await work.release();
    throw error;
  }
}

class StoreBuilder {
  readonly #work: WorkFolder;
  readonly #source: RecordSource;
  readonly #options: WriteStoreOptions & { readonly shardBytes: number };
  readonly #numbers = new Map<string, number>();
  readonly #shards: StoreManifest['shards'] = [];
  readonly #skipped: SkippedRecord[] = [];
  readonly #boxes = new BoxRemarks();
  #featureDim: number | undefined;
  #images = 0;
  #writer: ShardWriter | undefined;
  #index = new IndexBuilder();
  #newlySkipped: SkippedRecord[] = [];
  /** The previous shard is synced while the current one is filled. */
  #finishing: Promise<void> = Promise.resolve();

  constructor(work: WorkFolder, source: RecordSource, options: WriteStoreOptions & { readonly shardBytes: number }) {
    this.#work = work;
    this.#source = source;
    this.#options = options;
  }

  async build(): Promise<StoreManifest> {
    const { signal, shardBytes, onImage } = this.#options;
    const from = await this.#goOn();
    let position = from;
    try {
      for await (const item of this.#source.items(from)) {
        signal?.throwIfAborted();
        position = item.position;
        if (item.skipped) this.#newlySkipped.push(item.skipped);
        else await this.#add(item.record, item.number);
        onImage?.(this.#images);
        if (this.#writer && this.#writer.featureBytes >= shardBytes) await this.#finishShard(position);
      }
      if (this.#writer && position) await this.#finishShard(position);
      await this.#finishing;
    } catch (error) {
      await this.#writer?.abort();
      await this.#finishing.catch(() => undefined);
      throw error;
    }
    this.#skipped.push(...this.#newlySkipped);
    this.#boxes.remarks().forEach((remark) => this.#options.onNote?.(remark));
    return this.#finish();
  }

  /** Uses the finished shards of a killed import. @returns the position after them */
  async #goOn(): Promise<SourcePosition | undefined> {
    const { done } = this.#work;
    for (const [number, { shard, skipped, featureDim }] of done.entries()) {
      this.#shards.push(shard);
      this.#skipped.push(...skipped);
      this.#featureDim = featureDim;
      this.#images += shard.images;
      for (const { id } of entriesOf(await readIndex(this.#work.indexOf(number)))) this.#numbers.set(id, 0);
    }
    if (done.length > 0) this.#options.onNote?.(`going on after ${this.#images} images that were done`);
    return done.at(-1)?.position;
  }

  async #add(record: EncodedRecord, number: number): Promise<void> {
    const problem = this.#problemOf(record);
    if (problem) {
      if (!this.#options.skipBad) throw problem;
      this.#newlySkipped.push({ place: record.place, image: record.id, reason: problem.message });
      return;
    }
    this.#featureDim ??= record.features.length / record.count;
    this.#writer ??= await this.#newShard(this.#featureDim);
    this.#numbers.set(record.id, number);
    this.#boxes.add(record);
    const row = await this.#writer.add(record);
    const { id, count, width = 0, height = 0, fields, crc } = record;
    this.#index.add({ id, shard: this.#shards.length, row, count, width, height, fields, crc });
    this.#images++;
  }

  /** Compares a valid record with the records before it. @returns the error if it cannot be in the same store */
  #problemOf(record: EncodedRecord): LxmertError | undefined {
    const earlier = this.#numbers.get(record.id);
    if (earlier !== undefined) {
      const where = earlier === 0 ? 'in the part that was imported before' : `on ${this.#source.unit} ${earlier}`;
      return new LxmertError(
        'BAD_DATA',
        `${record.place}: the image id ${describeValue(record.id)} was already ${where}`,
      );
    }
    const dim = record.features.length / record.count;
    if (this.#featureDim === undefined || dim === this.#featureDim) return undefined;
    return recordError(record, 'features', `has ${dim} floats an object, the images before have ${this.#featureDim}`);
  }

  async #newShard(featureDim: number): Promise<ShardWriter> {
    // A file of this name was left by a killed import. It is overwritten.
    return ShardWriter.create(join(this.#work.store, shardFile(this.#shards.length)), this.#options.dtype, featureDim);
  }

  async #finishShard(position: SourcePosition): Promise<void> {
    const writer = this.#writer!;
    const number = this.#shards.length;
    const [index, skipped, featureDim] = [this.#index.finish(), this.#newlySkipped, this.#featureDim!];
    const images = index.counts.length;
    this.#writer = undefined;
    this.#index = new IndexBuilder();
    this.#newlySkipped = [];
    this.#skipped.push(...skipped);
    await this.#finishing;
    const shard = { file: shardFile(number), bytes: 0, sha256: '', images, objects: writer.rows };
    this.#shards.push(shard);
    this.#finishing = this.#close(writer, number, index).then(async ({ bytes, sha256 }) => {
      Object.assign(shard, { bytes, sha256 });
      await this.#work.note({ shard, position, skipped, featureDim });
    });
    // the error is thrown where this promise is awaited
    this.#finishing.catch(() => undefined);
  }

  async #close(writer: ShardWriter, number: number, index: StoreIndex): Promise<{ bytes: number; sha256: string }> {
    const bytes = await writer.finish();
    const path = this.#work.indexOf(number);
    await rm(path, { force: true });
    await writeIndex(path, index);
    return { bytes, sha256: await sha256OfFile(writer.path) };
  }

  async #finish(): Promise<StoreManifest> {
    const { work, source } = { work: this.#work, source: this.#source };
    if (this.#shards.length === 0) {
      const skipped = this.#skipped.length > 0 ? ` but ${this.#skipped.length} that were skipped` : '';
      throw new LxmertError('BAD_DATA', `${source.path}: no images in it${skipped}`);
    }
    const all = new IndexBuilder();
    for (let shard = 0; shard < this.#shards.length; shard++) all.addAll(await readIndex(work.indexOf(shard)));
    const { dtype, objectLabels, attributeLabels } = this.#options;
    return finishStore(work.store, all.finish(), {
      ...{ featureDim: this.#featureDim!, dtype, objectLabels, attributeLabels },
      ...{ sources: [...source.sources], skipped: this.#skipped, shards: this.#shards },
    });
  }
}

/** The smallest number of boxes from which remarks about the form of boxes are made. */
const TELLING = 100;

/** Collects remarks about boxes that may be wrong. */
class BoxRemarks {
  #count = 0;
  #flat = 0;
  #firstFlat = '';
  #asSizes = true;

  add({ boxes, shares, width, height, place }: EncodedRecord): void {
    const [right, bottom] = shares ? [1, 1] : [width ?? Infinity, height ?? Infinity];
    const rounding = shares ? 1e-3 : 1;
    for (let at = 0; at < boxes.length; at += 4) {
      const [x0, y0, x1, y1] = [boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]];
      if (x0 >= x1 || y0 >= y1) {
        if (this.#flat === 0) this.#firstFlat = place;
        this.#flat++;
      }
      if (x0 + x1 > right + rounding || y0 + y1 > bottom + rounding) this.#asSizes = false;
    }
    this.#count += boxes.length / 4;
  }

  remarks(): string[] {
    const told = this.#asSizes && this.#count >= TELLING && this.#flat < this.#count;
    return [
      ...(this.#flat > 0 ? [`${counted(this.#flat, 'box', 'boxes')} without area, first at ${this.#firstFlat}`] : []),
      ...(told ? ['every box would fit as x, y, width, height, too; x0, y0, x1, y1 are needed'] : []),
    ];
  }
}

/** Writes the index and the manifest of a store whose shards are written. */
export async function finishStore(
  folder: string,
  index: StoreIndex,
  rest: Pick<
    StoreManifest,
    'featureDim' | 'dtype' | 'objectLabels' | 'attributeLabels' | 'sources' | 'skipped' | 'shards'
  >,
): Promise<StoreManifest> {
  const path = join(folder, indexFile);
  await rm(path, { force: true });
  await rm(join(folder, manifestFile), { force: true });
  await writeIndex(path, index);
  const withField = (bit: number) => index.fields.reduce((sum, bits) => sum + ((bits & bit) === 0 ? 0 : 1), 0);
  const has = Object.fromEntries(storeFields.map((field) => [field, withField(fieldBits[field])]));
  const { size: bytes } = await stat(path);
  const manifest = manifestOf({
    ...rest,
    images: index.counts.length,
    objects: index.counts.reduce((sum, count) => sum + count, 0),
    has: has as StoreManifest['has'],
    boxesAsShares: withField(fieldBits.shares),
    index: { file: indexFile, bytes, sha256: await sha256OfFile(path) },
  });
  await writeFileDurable(join(folder, manifestFile), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await syncFolder(folder);
  return manifest;
}
