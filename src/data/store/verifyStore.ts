import { join } from 'node:path';
import { stat } from 'node:fs/promises';
import { LxmertError, isLxmertError } from '../../errors.js';
import { fileError } from '../../formats/fileErrors.js';
import { openStore } from './openStore.js';
import { sha256OfFile } from './shardWriter.js';
import { manifestFile, readStoreManifest } from './storeForm.js';

export interface VerifyReport {
  readonly images: number;
  readonly bytes: number;
  /** The faults, one sentence for each; empty for a store without faults. */
  readonly faults: readonly string[];
}

export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((bytes: number, all: number) => void) | undefined;
}

/** The largest number of damaged images that are named, because a shard may have many. */
const MOST_NAMED = 5;

/**
 * Compares the checksum of the index and of every shard, and names the images of a damaged shard whose numbers have changed.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA if there is no manifest that can be read
 */
export async function verifyStore(path: string, { signal, onBytes }: VerifyOptions = {}): Promise<VerifyReport> {
  const manifest = await readStoreManifest(join(path, manifestFile));
  const files = [manifest.index, ...manifest.shards];
  const all = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const faults: string[] = [];
  const damaged = new Set<number>();
  let done = 0;
  for (const [number, { file, bytes, sha256 }] of files.entries()) {
    signal?.throwIfAborted();
    const name = join(path, file);
    try {
      const found = await stat(name).catch((error: unknown) => {
        throw fileError(error, 'read', name);
      });
      if (found.size !== bytes) {
        faults.push(`${name}: has ${found.size} bytes, the manifest says ${bytes}`);
        continue;
      }
      const sum = await sha256OfFile(name, (count) => onBytes?.((done += count), all));
      if (sum === sha256) continue;
      faults.push(`${name}: has changed: its checksum is not the manifest's`);
      if (number > 0) damaged.add(number - 1);
    } catch (error) {
      if (!isLxmertError(error)) throw error;
      faults.push(error.message);
    }
  }
  if (damaged.size > 0) faults.push(...(await damagedImages(path, damaged)));
  if (faults.length === 0) {
    // All checksums are right. Now the index must agree with the shards.
    const store = await openStore(path);
    await store.reader.close();
  }
  return { images: manifest.images, bytes: all, faults };
}

/** The images in some shards whose own checksums are wrong. */
async function damagedImages(path: string, shards: ReadonlySet<number>): Promise<string[]> {
  let store;
  try {
    store = await openStore(path);
  } catch (error) {
    return isLxmertError(error) ? [error.message] : [String(error)];
  }
  const faults: string[] = [];
  let count = 0;
  try {
    for (let image = 0; image < store.imageIds.length; image++) {
      if (!shards.has(store.index.shards[image])) continue;
      try {
        await store.reader.rawRecord(image);
      } catch (error) {
        if (!(error instanceof LxmertError)) throw error;
        if (count++ < MOST_NAMED) faults.push(error.message);
      }
    }
  } finally {
    await store.reader.close();
  }
  return count > MOST_NAMED ? [...faults, `… and ${count - MOST_NAMED} more images`] : faults;
}
