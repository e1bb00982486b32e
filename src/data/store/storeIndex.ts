import { SafetensorsFile, writeSafetensors } from '../../formats/safetensors.js';
import type { TensorSpec, TensorValues } from '../../formats/safetensors.js';
import { LxmertError } from '../../errors.js';
import { Growable } from '../growable.js';
import type { StoreIndex } from '../features/featureSource.js';
import { sharedArrays } from '../sharedArrays.js';

export type { StoreIndex } from '../features/featureSource.js';

/** One image of an index. */
export interface IndexEntry {
  readonly id: string;
  readonly shard: number;
  readonly row: number;
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly fields: number;
  readonly crc: number;
}

/** Collects images. */
export class IndexBuilder {
  readonly #ids = new Growable(sharedArrays.uint8);
  readonly #idOffsets = new Growable(sharedArrays.uint32);
  readonly #shards = new Growable(sharedArrays.int32);
  readonly #rows = new Growable(sharedArrays.int32);
  readonly #counts = new Growable(sharedArrays.int32);
  readonly #widths = new Growable(sharedArrays.int32);
  readonly #heights = new Growable(sharedArrays.int32);
  readonly #fields = new Growable(sharedArrays.uint8);
  readonly #crcs = new Growable(sharedArrays.uint32);

  constructor() {
    this.#idOffsets.push(0);
  }

  get images(): number {
    return this.#counts.length;
  }

  add({ id, shard, row, count, width, height, fields, crc }: IndexEntry): void {
    this.#ids.append(Buffer.from(id, 'utf8'));
    this.#idOffsets.push(this.#ids.length);
    this.#shards.push(shard);
    this.#rows.push(row);
    this.#counts.push(count);
    this.#widths.push(width);
    this.#heights.push(height);
    this.#fields.push(fields);
    this.#crcs.push(crc);
  }

  /** Adds the images of another index. @param shardOf the new number of a shard */
  addAll(index: StoreIndex, shardOf: (shard: number) => number = (shard) => shard): void {
    for (const entry of entriesOf(index)) this.add({ ...entry, shard: shardOf(entry.shard) });
  }

  finish(): StoreIndex {
    return {
      ids: this.#ids.finish(),
      idOffsets: this.#idOffsets.finish(),
      shards: this.#shards.finish(),
      rows: this.#rows.finish(),
      counts: this.#counts.finish(),
      widths: this.#widths.finish(),
      heights: this.#heights.finish(),
      fields: this.#fields.finish(),
      crcs: this.#crcs.finish(),
    };
  }
}

/** The images of an index, in order. */
export function* entriesOf(index: StoreIndex): Generator<IndexEntry> {
  for (let image = 0; image < index.counts.length; image++) {
    yield {
      id: idOf(index, image),
      shard: index.shards[image],
      row: index.rows[image],
      count: index.counts[image],
      width: index.widths[image],
      height: index.heights[image],
      fields: index.fields[image],
      crc: index.crcs[image],
    };
  }
}

export const idOf = ({ ids, idOffsets }: StoreIndex, image: number): string =>
  Buffer.from(ids.buffer, ids.byteOffset + idOffsets[image], idOffsets[image + 1] - idOffsets[image]).toString('utf8');

/** Names of the tensors in the index file. */
const tensors = {
  ids: ['ids', 'U8'],
  idOffsets: ['id_offsets', 'U32'],
  shards: ['shard', 'I32'],
  rows: ['row', 'I32'],
  counts: ['count', 'I32'],
  widths: ['width', 'I32'],
  heights: ['height', 'I32'],
  fields: ['fields', 'U8'],
  crcs: ['crc32', 'U32'],
} as const satisfies Record<keyof StoreIndex, readonly [string, TensorSpec['dtype']]>;

const keys = Object.keys(tensors) as (keyof StoreIndex)[];

/** Writes an index and syncs it; the file must not exist. @throws FILE_ACCESS */
export async function writeIndex(path: string, index: StoreIndex): Promise<void> {
  const specs = keys.map((key): TensorSpec => {
    const [name, dtype] = tensors[key];
    return { name, dtype, shape: [index[key].length] };
  });
  const values = new Map<string, TensorValues>(keys.map((key) => [tensors[key][0], index[key]]));
  await writeSafetensors(path, specs, (name) => values.get(name)!, { metadata: { form: 'lxmert-features index' } });
}

/** @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the tensor */
export async function readIndex(path: string): Promise<StoreIndex> {
  const file = await SafetensorsFile.open(path);
  try {
    const read = async <T extends Uint8Array | Uint32Array | Int32Array>(
      key: keyof StoreIndex,
      allocate: (length: number) => T,
    ): Promise<T> => {
      const [name, dtype] = tensors[key];
      const entry = file.entry(name);
      if (entry.dtype !== dtype || entry.shape.length !== 1)
        throw new LxmertError('BAD_DATA', `${path}: tensor '${name}' must be ${dtype} of one axis`);
      const array = allocate(entry.count);
      let at = 0;
      for await (const piece of file.pieces(name)) {
        array.set(piece as T, at);
        at += piece.length;
      }
      return array;
    };
    const index: StoreIndex = {
      ids: await read('ids', sharedArrays.uint8),
      idOffsets: await read('idOffsets', sharedArrays.uint32),
      shards: await read('shards', sharedArrays.int32),
      rows: await read('rows', sharedArrays.int32),
      counts: await read('counts', sharedArrays.int32),
      widths: await read('widths', sharedArrays.int32),
      heights: await read('heights', sharedArrays.int32),
      fields: await read('fields', sharedArrays.uint8),
      crcs: await read('crcs', sharedArrays.uint32),
    };
    checkLengths(path, index);
    return index;
  } finally {
    await file.close();
  }
}

function checkLengths(path: string, index: StoreIndex): void {
  const images = index.counts.length;
  const wrong = keys.find((key) => {
    const expected = key === 'ids' ? index.idOffsets.at(-1) : key === 'idOffsets' ? images + 1 : images;
    return index[key].length !== expected;
  });
  if (wrong !== undefined)
    throw new LxmertError('BAD_DATA', `${path}: tensor '${tensors[wrong][0]}' does not have a value for each image`);
  for (let image = 0; image < images; image++) {
    if (index.idOffsets[image] < index.idOffsets[image + 1] && index.counts[image] > 0 && index.rows[image] >= 0)
      continue;
    throw new LxmertError('BAD_DATA', `${path}: image number ${image} has no id, no objects or a row below 0`);
  }
}
