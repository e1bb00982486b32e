import { LxmertError } from '../errors.js';
import { dtypes } from './dtypes.js';
import { PickleDict, PickleEnd, pickleError, readPickle } from './pickle.js';
import type { PickleHooks, PickleValue } from './pickle.js';
import type { RegularFile } from './regularFile.js';
import { shown } from './shown.js';
import { torchHooks } from './torchPickle.js';
import type { TorchStorage } from './torchPickle.js';
import { maxPickleBytes } from './torchStorages.js';
import type { TorchStorages } from './torchStorages.js';

/** Bytes that the first attempt reads. Each further attempt reads eight times as many as the attempt before it. */
const firstHeadBytes = 1 << 20;

const magic = 0x1950a86a20f9469cfc6cn;
const version = 1001;

/** Bytes of the number of elements, which stands before each storage. */
const countBytes = 8;

/**
 * Opens a file in the form that torch wrote before version 1.6. All files that the original published have this form: five
 * pickles (magic number, version, machine, object, keys of the storages), then, in the order of the keys, each storage with
 * its number of elements before it.
 * @throws BAD_DATA naming the file and what is wrong
 */
export async function openLegacyStorages(file: RegularFile): Promise<TorchStorages> {
  const { root, keys, storages, end } = await readHead(file);
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${file.path}: ${reason}`);
  const places = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    if (typeof key !== 'string') throw bad('its list of storages has a key that is not a string');
    if (places.has(key)) throw bad(`its list of storages has ${shown(key)} twice`);
    const storage = storages.get(key);
    if (!storage) throw bad(`its list of storages has ${shown(key)}, which no tensor uses`);
    if (at + countBytes > file.size) throw bad(`it ends before its storage ${shown(key)}: it is cut short`);
    const count = new DataView((await file.read(at, countBytes)).buffer).getBigInt64(0, true);
    if (count !== BigInt(storage.count))
      throw bad(`its storage ${shown(key)} has ${count} elements, but its tensors expect ${storage.count}`);
    const bytes = storage.count * dtypes[storage.dtype].bytes;
    at += countBytes;
    if (at + bytes > file.size)
      throw bad(`its storage ${shown(key)} needs ${bytes} bytes, but only ${file.size - at} follow: it is cut short`);
    places.set(key, at);
    at += bytes;
  }
  for (const key of storages.keys()) if (!places.has(key)) throw bad(`its storage ${shown(key)} is missing`);
  if (at !== file.size) throw bad(`${file.size - at} bytes follow the last storage: it is damaged`);
  return {
    root,
    read: (key, begin, length) => file.read(places.get(key)! + begin, length),
    pieces: (key, begin, length) => file.pieces(places.get(key)! + begin, length),
  };
}

interface Head {
  readonly root: PickleValue;
  readonly keys: readonly PickleValue[];
  readonly storages: ReadonlyMap<string, TorchStorage>;
  /** The position of the first storage's number of elements. */
  readonly end: number;
}

async function readHead(file: RegularFile): Promise<Head> {
  for (let length = firstHeadBytes; ; length *= 8) {
    const bytes = await file.read(0, Math.min(length, file.size, maxPickleBytes));
    try {
      return parseHead(bytes, file.path);
    } catch (error) {
      const all = bytes.byteLength === Math.min(file.size, maxPickleBytes);
      if (!(error instanceof PickleEnd) || all) throw pickleError(error, file.path, 'its pickles');
    }
  }
}

function parseHead(bytes: Uint8Array, file: string): Head {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${file}: ${reason}`);
  let at = 0;
  const next = (hooks: PickleHooks) => {
    const { value, length } = readPickle(bytes.subarray(at), hooks);
    at += length;
    return value;
  };
  const plain = torchHooks().hooks;
  if (next(plain) !== magic) throw bad('it is a pickle, but torch.save did not write it: the magic number is wrong');
  const given = next(plain);
  if (given !== version) throw bad(`its version is ${typeof given === 'number' ? given : 'none'}; expected ${version}`);
  const machine = next(plain);
  const little =
    machine instanceof PickleDict ? machine.pairs.find(([key]) => key === 'little_endian')?.[1] : undefined;
  if (little !== true) throw bad('its byte order is not little-endian; only little-endian files are read');
  const { hooks, storages } = torchHooks();
  const root = next(hooks);
  const keys = next(plain);
  if (!Array.isArray(keys)) throw bad('its list of storages is not a list');
  return { root, keys, storages, end: at };
}
