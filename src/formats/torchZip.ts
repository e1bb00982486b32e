import { LxmertError } from '../errors.js';
import { dtypes } from './dtypes.js';
import { pickleError, readPickle } from './pickle.js';
import type { RegularFile } from './regularFile.js';
import { shown } from './shown.js';
import { torchHooks } from './torchPickle.js';
import { maxPickleBytes } from './torchStorages.js';
import type { TorchStorages } from './torchStorages.js';
import { checkZipEntry, readZipDirectory, readZipEntry, zipEntryPieces } from './zip.js';
import type { ZipEntry } from './zip.js';

/**
 * Opens a file in the form of torch since 1.6: a zip with `<name>/data.pkl` and the storages as `<name>/data/<key>`.
 * @throws BAD_DATA naming the file and the entry
 */
export async function openZipStorages(file: RegularFile): Promise<TorchStorages> {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${file.path}: ${reason}`);
  const entries = await readZipDirectory(file);
  const pickles = [...entries.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickles.length !== 1)
    throw bad(
      `it is a zip with ${pickles.length} entries named <folder>/data.pkl; expected one, as torch.save writes it` +
        ([...entries.keys()].some((name) => name.endsWith('constants.pkl')) ? '. Is it a TorchScript program?' : ''),
    );
  const folder = pickles[0].slice(0, -'data.pkl'.length);
  // If torch was configured to write no checksums, all checksums in the file are 0.
  const checked = [...entries.values()].some(({ crc, size }) => crc !== 0 && size > 0);
  await demandLittleEndian(file, entries.get(`${folder}byteorder`), checked);

  const pickle = entries.get(pickles[0])!;
  if (pickle.size > maxPickleBytes)
    throw bad(`its data.pkl has ${pickle.size} bytes; at most ${maxPickleBytes} are read`);
  const { hooks, storages } = torchHooks();
  let root;
  try {
    root = readPickle(await readZipEntry(file, pickle, checked), hooks).value;
  } catch (error) {
    throw pickleError(error, file.path, 'data.pkl');
  }
  const places = new Map<string, ZipEntry>();
  for (const { key, dtype, count } of storages.values()) {
    const entry = entries.get(`${folder}data/${key}`);
    if (!entry) throw bad(`its storage ${shown(key)} is missing`);
    if (entry.size !== count * dtypes[dtype].bytes)
      throw bad(
        `its storage ${shown(key)} has ${entry.size} bytes; ${count} elements of ${dtype} need ${count * dtypes[dtype].bytes}`,
      );
    places.set(key, entry);
  }
  return { root, ...readers(file, places, checked) };
}

/** Makes the functions that read storages. The first read of a storage compares the checksum of the whole storage. */
function readers(
  file: RegularFile,
  places: ReadonlyMap<string, ZipEntry>,
  checked: boolean,
): Pick<TorchStorages, 'read' | 'pieces'> {
  const intact = new Set<ZipEntry>();
  const demandIntact = async (entry: ZipEntry) => {
    if (checked && !intact.has(entry)) await checkZipEntry(file, entry);
    intact.add(entry);
  };
  const read: TorchStorages['read'] = async (key, begin, length) => {
    const entry = places.get(key)!;
    const whole = begin === 0 && length === entry.size;
    if (whole || entry.deflated) {
      const bytes = await readZipEntry(file, entry, checked);
      intact.add(entry);
      return whole ? bytes : bytes.slice(begin, begin + length);
    }
    await demandIntact(entry);
    return file.read(entry.offset + begin, length);
  };
  return {
    read,
    async *pieces(key, begin, length) {
      const entry = places.get(key)!;
      if (entry.deflated) yield await read(key, begin, length);
      else if (begin === 0 && length === entry.size) yield* zipEntryPieces(file, entry, checked);
      else {
        await demandIntact(entry);
        yield* file.pieces(entry.offset + begin, length);
      }
    },
  };
}

async function demandLittleEndian(file: RegularFile, entry: ZipEntry | undefined, checked: boolean): Promise<void> {
  if (!entry) return;
  const order =
    entry.size > 16
      ? ''
      : Buffer.from(await readZipEntry(file, entry, checked))
          .toString('latin1')
          .trim();
  if (order !== 'little')
    throw new LxmertError(
      'BAD_DATA',
      `${file.path}: its byte order is ${shown(order)}; only little-endian files are read`,
    );
}
