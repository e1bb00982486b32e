import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import type { FinetuneTask } from '../config/finetuneConfig.js';
import { findSplit, readManifest } from '../data/samples/manifest.js';
import { manifestFile } from '../data/store/storeForm.js';
import { LxmertError } from '../errors.js';

/** A file or folder that a planned run reads. */
export interface RunFile {
  readonly path: string;
  readonly what: 'features' | 'text' | 'answers' | 'exclusion list' | 'vocabulary';
  /** The splits that need the file. */
  readonly splits: readonly string[];
  /** The size of the file, or of all files of a feature store; undefined if nothing is found at the path. */
  readonly bytes?: number | undefined;
  /** Only for features: a store, or a TSV that the run reads directly. */
  readonly form?: 'store' | 'tsv' | undefined;
}

/**
 * The files that a run would open. Files that do not exist are also listed.
 * @throws BAD_ARGUMENT (no data folder, unknown split), BAD_CONFIG, FILE_MISSING for the data folder itself; BAD_DATA
 *   for its `data.yaml`
 */
export async function runFiles(sources: Omit<ConfigSources, 'saved'>): Promise<readonly RunFile[]> {
  const { task } = sources.flags ?? {};
  const { data } = await (task === undefined ? loadRunConfig(sources) : loadFinetuneConfig(sources));
  if (data.folder === undefined)
    throw new LxmertError('BAD_ARGUMENT', '--data is missing: the data of the planned run');
  const manifest = await readManifest(data.folder);
  const needed = new Map<string, { readonly what: RunFile['what']; readonly splits: Set<string> }>();
  const need = (path: string | undefined, what: RunFile['what'], ...splits: readonly string[]) => {
    if (path === undefined) return;
    const entry = needed.get(path) ?? { what, splits: new Set<string>() };
    splits.forEach((split) => entry.splits.add(split));
    needed.set(path, entry);
  };
  for (const name of [...data.train, ...data.valid]) {
    const split = await findSplit(manifest, name, (task as FinetuneTask | undefined) ?? 'pretrain');
    need(split.features, 'features', name);
    split.text.split(',').forEach((path) => need(path, 'text', name));
  }
  if (task === undefined) need(manifest.answers, 'answers');
  if ('exclude' in data) [...data.exclude, ...data.excludeLater].forEach((path) => need(path, 'exclusion list'));
  need(data.vocabulary, 'vocabulary');
  const files = [...needed].map(async ([path, { what, splits }]) => ({
    ...{ path, what, splits: [...splits] },
    ...(await sizeOf(path, what)),
  }));
  return Promise.all(files);
}

async function sizeOf(path: string, what: RunFile['what']): Promise<Pick<RunFile, 'bytes' | 'form'>> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return { bytes: found?.size, form: what === 'features' && found ? 'tsv' : undefined };
  const names: readonly string[] = await readdir(path).catch(() => []);
  if (what !== 'features' || !names.includes(manifestFile)) return {};
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(path, name))).size));
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), form: 'store' };
}

/** Bytes that one number of a feature needs in a TSV, which has base64 of four bytes. */
const TSV_NUMBER = 16 / 3;

/** Estimated bytes of the float16 store of a TSV. In both, the data other than features are about a hundredth. */
export const storeBytesOf = (tsvBytes: number): number => Math.round((tsvBytes / TSV_NUMBER) * 2);
