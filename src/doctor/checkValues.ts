import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import type { FinetuneTask } from '../config/finetuneConfig.js';
import { openFeatureTsv } from '../data/features/featureTsv.js';
import { allocateObjectRows } from '../data/features/featureSource.js';
import { findSplit, readManifest } from '../data/samples/manifest.js';
import { LxmertError, isLxmertError } from '../errors.js';

export interface CheckRequest {
  /**
   * Describes the run whose data are checked: its folder and its splits, validation included. The flag `task` says that it
   * fine-tunes.
   */
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Called now and then; `share` of the file that is done, from 0 to 1. */
  readonly progress?: ((path: string, share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An image that cannot be read. */
export interface BadImage {
  readonly imageId: string;
  /** File, line, field and what is wrong with it. */
  readonly problem: string;
}

/** What a full reading of one feature file found. */
export interface FileCheck {
  readonly path: string;
  /** Images that were found, damaged ones included. */
  readonly images: number;
  readonly objects: number;
  /** Floats of one object's feature. */
  readonly featureDim: number;
  /** What looks odd but may be right, a clause each. */
  readonly remarks: readonly string[];
  /** In the order of the file. */
  readonly bad: readonly BadImage[];
}

/**
 * Reads every number of the feature files that a run would open, and goes on behind images that are damaged.
 * @throws BAD_ARGUMENT (no data folder, unknown split), BAD_CONFIG, FILE_MISSING, FILE_ACCESS; BAD_DATA where a file as a whole
 *   is no feature TSV; the signal's reason
 */
export async function checkValues({ sources, progress, signal }: CheckRequest): Promise<FileCheck[]> {
  const { task } = sources.flags ?? {};
  const { data } = await (task === undefined ? loadRunConfig(sources) : loadFinetuneConfig(sources));
  if (data.folder === undefined) throw new LxmertError('BAD_ARGUMENT', '--data is missing: the data folder to check');
  const manifest = await readManifest(data.folder);
  const paths = new Set<string>();
  for (const split of [...data.train, ...data.valid])
    paths.add((await findSplit(manifest, split, (task as FinetuneTask | undefined) ?? 'pretrain')).features);
  const { objectLabels, attributeLabels } = manifest;
  const checks: FileCheck[] = [];
  for (const path of paths) checks.push(await checkFile(path, { objectLabels, attributeLabels, progress, signal }));
  return checks;
}

async function checkFile(
  path: string,
  {
    objectLabels,
    attributeLabels,
    progress,
    signal,
  }: Pick<CheckRequest, 'progress' | 'signal'> & { readonly objectLabels: number; readonly attributeLabels: number },
): Promise<FileCheck> {
  const problems = new Map<string, string>();
  const mayFail = (imageId: string, error: LxmertError) => {
    if (!problems.has(imageId)) problems.set(imageId, error.message);
    return true;
  };
  const source = await openFeatureTsv(path, { objectLabels, attributeLabels, inMemory: false, mayFail, signal });
  const { reader, imageIds, remarks = [] } = source;
  try {
    let objects = 0;
    let rows = allocateObjectRows(100, reader.featureDim);
    for (const [image, imageId] of imageIds.entries()) {
      signal?.throwIfAborted();
      const count = reader.numObjects(image);
      objects += count;
      if (count > rows.objectIds.length) rows = allocateObjectRows(count, reader.featureDim);
      await reader.read(image, rows, 0).catch((error: unknown) => {
        if (!isLxmertError(error) || error.code !== 'BAD_DATA') throw error;
        mayFail(imageId, error);
      });
      progress?.(path, (image + 1) / imageIds.length);
    }
    const known = new Set(imageIds);
    const passedOver = [...problems.keys()].filter((imageId) => !known.has(imageId)).length;
    const lineOf = ({ problem }: BadImage) => Number(/: line (\d+): /.exec(problem)?.[1]);
    return {
      path,
      images: imageIds.length + passedOver,
      objects,
      featureDim: reader.featureDim,
      remarks,
      bad: [...problems]
        .map(([imageId, problem]) => ({ imageId, problem }))
        .sort((one, other) => lineOf(one) - lineOf(other)),
    };
  } finally {
    await reader.close();
  }
}
