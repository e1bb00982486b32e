/**
 * Reads LMDB files in data format 1, which liblmdb 0.9 and py-lmdb write: the newer of the two meta pages, and the tree
 * of the main database. Pages are read by position and checked before they are used, so a damaged file gives an error.
 * (liblmdb maps the file into memory, so an incomplete file would end the process.)
 */
import { LxmertError } from '../errors.js';
import { RegularFile } from './regularFile.js';
import { shown } from './shown.js';

const MAGIC = 0xbeefc0de;
const HEADER = 16;
const META_BYTES = HEADER + 136;

const flags = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 } as const;
/** Flags of a node in a leaf page. */
const nodeFlags = { big: 0x01, subtree: 0x02, duplicates: 0x04 } as const;

const MOST_DEPTH = 64;
/** Number of cached pages of the tree. Pages near the root are read very often. */
const MOST_KEPT = 512;
/** Largest size of a value; the value of an image is always smaller. */
const LARGEST_VALUE = 2 ** 30;

interface Meta {
  readonly pageSize: number;
  readonly lastPage: number;
  readonly transaction: bigint;
  readonly root: number;
  readonly depth: number;
  readonly entries: number;
}

interface Page {
  readonly number: number;
  readonly bytes: Buffer;
  readonly isLeaf: boolean;
  readonly count: number;
}

/** One node of a page. */
interface Node {
  readonly key: Buffer;
  /** The page below this node, in a branch. */
  readonly child: number;
  /** Flags, in a leaf. */
  readonly flags: number;
  readonly size: number;
  /** The position in the page at which its data begin. */
  readonly at: number;
}

export class LmdbFile {
  readonly path: string;
  /** Number of keys. */
  readonly entries: number;
  readonly #file: RegularFile;
  readonly #meta: Meta;
  readonly #kept = new Map<number, Page>();

  private constructor(file: RegularFile, meta: Meta) {
    this.path = file.path;
    this.entries = meta.entries;
    this.#file = file;
    this.#meta = meta;
  }

  /** @throws FILE_MISSING, FILE_ACCESS; BAD_DATA if it is not an LMDB or was cut short */
  static async open(path: string): Promise<LmdbFile> {
    const file = await RegularFile.open(path);
    try {
      const meta = await newestMeta(file);
      const needed = (meta.lastPage + 1) * meta.pageSize;
      if (file.size < needed)
        throw new LxmertError(
          'BAD_DATA',
          `${path}: has ${file.size} bytes, its pages need ${needed}: it is cut short. Copy it again`,
        );
      return new LmdbFile(file, meta);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The value of a key; undefined if there is no such key. @throws BAD_DATA naming the key */
  async get(key: string | Uint8Array): Promise<Uint8Array | undefined> {
    const wanted = Buffer.from(key);
    if (this.#meta.root < 0) return undefined;
    let page = await this.#page(this.#meta.root);
    for (let depth = 1; !page.isLeaf; depth++) {
      if (depth > MOST_DEPTH) throw this.#bad('its tree has no leaves');
      // The first node of a branch has all keys below the second key. The key of the first node has no meaning.
      let [low, high] = [1, page.count];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (Buffer.compare(this.#node(page, middle).key, wanted) <= 0) low = middle + 1;
        else high = middle;
      }
      page = await this.#page(this.#node(page, low - 1).child);
    }
    let [low, high] = [0, page.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Buffer.compare(this.#node(page, middle).key, wanted) < 0) low = middle + 1;
      else high = middle;
    }
    if (low >= page.count) return undefined;
    const node = this.#node(page, low);
    return node.key.equals(wanted) ? this.#value(page, node) : undefined;
  }

  /** All keys, in the order of the tree. @throws BAD_DATA */
  async *keys(): AsyncGenerator<Buffer, void, undefined> {
    if (this.#meta.root >= 0) yield* this.#keysBelow(this.#meta.root, 1);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async *#keysBelow(number: number, depth: number): AsyncGenerator<Buffer, void, undefined> {
    if (depth > MOST_DEPTH) throw this.#bad('its tree has no leaves');
    const page = await this.#page(number);
    for (let i = 0; i < page.count; i++) {
      const node = this.#node(page, i);
      if (page.isLeaf) yield Buffer.from(node.key);
      else yield* this.#keysBelow(node.child, depth + 1);
    }
  }

  async #page(number: number): Promise<Page> {
    const known = this.#kept.get(number);
    if (known) return known;
    const { pageSize, lastPage } = this.#meta;
    if (number < 2 || number > lastPage) throw this.#bad(`its tree names page ${number}; pages are 2 to ${lastPage}`);
    const bytes = Buffer.from((await this.#file.read(number * pageSize, pageSize)).buffer);
    const kind = bytes.readUInt16LE(10);
    const lower = bytes.readUInt16LE(12);
    const isLeaf = (kind & flags.leaf) !== 0;
    if (Number(bytes.readBigUInt64LE(0)) !== number || (kind & 0xff & ~0x10) !== (isLeaf ? flags.leaf : flags.branch))
      throw this.#bad(`page ${number} is damaged: it is no page of the tree`);
    const count = (lower - HEADER) / 2;
    if (lower > pageSize || !Number.isInteger(count) || count < (isLeaf ? 0 : 1))
      throw this.#bad(`page ${number} is damaged: it has no list of keys`);
    const page = { number, bytes, isLeaf, count };
    if (!isLeaf || this.#kept.size < MOST_KEPT / 2) {
      if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
      this.#kept.set(number, page);
    }
    return page;
  }

  #node({ number, bytes, isLeaf }: Page, index: number): Node {
    const damaged = () => this.#bad(`page ${number} is damaged: key ${index} lies outside of it`);
    const at = bytes.readUInt16LE(HEADER + 2 * index);
    if (at < HEADER || at + 8 > bytes.length) throw damaged();
    const low = bytes.readUInt32LE(at);
    const kind = bytes.readUInt16LE(at + 4);
    const keySize = bytes.readUInt16LE(at + 6);
    const data = at + 8 + keySize;
    if (data > bytes.length) throw damaged();
    return {
      key: bytes.subarray(at + 8, data),
      child: isLeaf ? -1 : low + kind * 2 ** 32,
      flags: isLeaf ? kind : 0,
      size: low,
      at: data,
    };
  }

  async #value({ bytes }: Page, node: Node): Promise<Uint8Array> {
    const { pageSize, lastPage } = this.#meta;
    const bad = (reason: string) => this.#bad(`key ${shown(node.key.toString('utf8')).slice(1, -1)}: ${reason}`);
    if (node.flags & (nodeFlags.subtree | nodeFlags.duplicates)) throw bad('is a database of its own, not a value');
    if (node.size > LARGEST_VALUE) throw bad(`claims a value of ${node.size} bytes`);
    if ((node.flags & nodeFlags.big) === 0) {
      if (node.at + node.size > bytes.length) throw bad('its value lies outside of its page');
      return Uint8Array.from(bytes.subarray(node.at, node.at + node.size));
    }
    if (node.at + 8 > bytes.length) throw bad('its value lies outside of its page');
    const first = Number(bytes.readBigUInt64LE(node.at));
    const pages = Math.ceil((HEADER + node.size) / pageSize);
    if (first < 2 || first + pages - 1 > lastPage)
      throw bad(`its value lies on page ${first} and on; the last page is ${lastPage}`);
    const whole = await this.#file.read(first * pageSize, HEADER + node.size);
    const header = Buffer.from(whole.buffer, 0, HEADER);
    if ((header.readUInt16LE(10) & flags.overflow) === 0 || header.readUInt32LE(12) < pages)
      throw bad(`page ${first}, where its value should be, is damaged`);
    return whole.subarray(HEADER);
  }

  #bad(reason: string): LxmertError {
    return new LxmertError('BAD_DATA', `${this.path}: ${reason}`);
  }
}

/** The meta page that was written last, if it is not damaged; otherwise the other meta page. */
async function newestMeta(file: RegularFile): Promise<Meta> {
  const first = await readMeta(file, 0);
  const sizes = first ? [first.pageSize] : [4096, 8192, 16384, 32768, 65536];
  const metas = [first];
  for (const size of sizes) metas.push(await readMeta(file, size));
  const [newest] = metas.filter((meta) => meta !== undefined).sort((a, b) => Number(b.transaction - a.transaction));
  if (!newest) throw new LxmertError('BAD_DATA', `${file.path}: is no LMDB: neither of its meta pages is whole`);
  return newest;
}

async function readMeta(file: RegularFile, at: number): Promise<Meta | undefined> {
  if (at + META_BYTES > file.size) return undefined;
  const page = Buffer.from((await file.read(at, META_BYTES)).buffer);
  if ((page.readUInt16LE(10) & flags.meta) === 0 || page.readUInt32LE(HEADER) !== MAGIC) return undefined;
  const version = page.readUInt32LE(HEADER + 4);
  if (version !== 1)
    throw new LxmertError('BAD_DATA', `${file.path}: is an LMDB of the data format ${version}; 1 is read`);
  // The records of the database of free pages and of the main database follow the map size; each has 48 bytes.
  const [free, main] = [HEADER + 24, HEADER + 72];
  const pageSize = page.readUInt32LE(free);
  const root = page.readBigUInt64LE(main + 40);
  if (pageSize < 512 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) return undefined;
  return {
    pageSize,
    depth: page.readUInt16LE(main + 6),
    entries: Number(page.readBigUInt64LE(main + 32)),
    root: root === 0xffff_ffff_ffff_ffffn ? -1 : Number(root),
    lastPage: Number(page.readBigUInt64LE(HEADER + 120)),
    transaction: page.readBigUInt64LE(HEADER + 128),
  };
}
