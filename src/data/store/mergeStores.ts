import { copyFile, constants, link, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { makeFolder, writeFolderAtomic } from '../../formats/atomicFile.js';
import { fileError, isThere, systemCode } from '../../formats/fileErrors.js';
import { openStore } from './openStore.js';
import type { FeatureStore } from './openStore.js';
import { shardFile } from './storeForm.js';
import type { StoreManifest } from './storeForm.js';
import { IndexBuilder, entriesOf } from './storeIndex.js';
import { finishStore } from './writeStore.js';

export interface MergeOptions {
  /** Whether an image that several stores have is taken from the first of them. By default it is an error. */
  readonly keepFirst?: boolean | undefined;
}

export interface MergeReport {
  readonly manifest: StoreManifest;
  /** Number of shards that got a second name (a hard link), and number of shards that were copied. */
  readonly linked: number;
  readonly copied: number;
  /** Number of images that were left out because an earlier store has them. */
  readonly repeated: number;
}

/**
 * Joins stores to a new store. Shards get a second name (a hard link) if the file system allows it; otherwise they are
 * copied. The new store gets its name when it is complete.
 * @throws BAD_ARGUMENT, BAD_DATA if the stores cannot be joined, FILE_ACCESS
 */
export async function mergeStores(
  paths: readonly string[],
  out: string,
  { keepFirst = false }: MergeOptions = {},
): Promise<MergeReport> {
  if (paths.length < 2) throw new LxmertError('BAD_ARGUMENT', 'a merge needs two stores at least');
  if (await isThere(out))
    throw new LxmertError('FILE_ACCESS', `${out}: is there already; remove it, or give another name`);
  const stores: FeatureStore[] = [];
  try {
    for (const path of paths) stores.push(await openStore(path));
    stores.forEach((store) => demandAlike(stores[0], store));
    const { index, repeated } = joinIndexes(stores, keepFirst);
    await makeFolder(dirname(out)).catch((error: unknown) => {
      throw fileError(error, 'write', out);
    });
    let [linked, copied] = [0, 0];
    let manifest: StoreManifest | undefined;
    await writeFolderAtomic(out, async (folder) => {
      const shards: StoreManifest['shards'] = [];
      for (const store of stores)
        for (const shard of store.manifest.shards) {
          const file = shardFile(shards.length);
          if (await linkOrCopy(join(store.path, shard.file), join(folder, file))) linked++;
          else copied++;
          shards.push({ ...shard, file });
        }
      const { featureDim, dtype } = stores[0].manifest;
      manifest = await finishStore(folder, index, {
        ...{ featureDim, dtype, shards },
        objectLabels: Math.max(...stores.map((store) => store.manifest.objectLabels)),
        attributeLabels: Math.max(...stores.map((store) => store.manifest.attributeLabels)),
        sources: stores.flatMap((store) => store.manifest.sources),
        skipped: stores.flatMap((store) => store.manifest.skipped),
      });
    });
    return { manifest: manifest!, linked, copied, repeated };
  } finally {
    for (const { reader } of stores) await reader.close();
  }
}

function demandAlike(first: FeatureStore, other: FeatureStore): void {
  for (const key of ['featureDim', 'dtype'] as const)
    if (first.manifest[key] !== other.manifest[key])
      throw new LxmertError(
        'BAD_DATA',
        `stores must have one ${key === 'dtype' ? 'dtype' : 'feature width'}: ${first.path} has ${first.manifest[key]}, ` +
          `${other.path} has ${other.manifest[key]}`,
      );
}

function joinIndexes(stores: readonly FeatureStore[], keepFirst: boolean) {
  const builder = new IndexBuilder();
  const owner = new Map<string, number>();
  let [base, repeated] = [0, 0];
  for (const [number, { index, path, manifest }] of stores.entries()) {
    for (const entry of entriesOf(index)) {
      const earlier = owner.get(entry.id);
      if (earlier !== undefined && !keepFirst)
        throw new LxmertError(
          'BAD_DATA',
          `image ${JSON.stringify(entry.id)} is in ${stores[earlier].path} and in ${path}; --keep-first takes it from the first`,
        );
      if (earlier !== undefined) repeated++;
      else {
        owner.set(entry.id, number);
        builder.add({ ...entry, shard: base + entry.shard });
      }
    }
    base += manifest.shards.length;
  }
  return { index: builder.finish(), repeated };
}

/** Links a file, or copies and syncs it if links are not possible. @returns whether it is a link */
async function linkOrCopy(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (!['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'EACCES'].includes(systemCode(error) ?? '')) throw error;
  }
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(to, 'r+');
  await file.sync().finally(() => file.close());
  return false;
}
