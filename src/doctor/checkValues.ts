import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import type { FinetuneTask } from '../config/finetuneConfig.js';
import { openFeatureTsv } from '../data/features/featureTsv.js';
import { allocateObjectRows } from '../data/features/featureSource.js';
import { findSplit, readManifest } from '../data/samples/manifest.js';
import { LxmertError, isLxmertError } from '../errors.js';

export interface CheckRequest {
  /**
   * Describes the run whose data are checked: its data folder and its splits, including those for validation. With the
   * flag `task`, the run is a fine-tuning run.
   */
  readonly sources: Omit<ConfigSources, 'saved'>;
  /** Called after each image. `share` is the finished share of the file, from 0 to 1. */
  readonly progress?: ((path: string, share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An image that cannot be read. */
export interface BadImage {
  readonly imageId: string;
  /** A message with the file, the line, the field and the problem. */
  readonly problem: string;
}

/** The result of reading one feature file completely. */
export interface FileCheck {
  readonly path: string;
  /** Number of images, including damaged images. */
  readonly images: number;
  readonly objects: number;
  /** Number of floats of one object's feature. */
  readonly featureDim: number;
  /** Unusual properties of the file that may be intended; each is a clause of a message. */
  readonly remarks: readonly string[];
  /** The images that cannot be read, in the order of the file. */
  readonly bad: readonly BadImage[];
}

/**
 * Reads every number of the feature files that a run would open. After a damaged image, it continues with the next
 * image.
 * @throws BAD_ARGUMENT (no data folder, unknown split), BAD_CONFIG, FILE_MISSING, FILE_ACCESS; BAD_DATA for a file
 *   that is not a feature TSV; the signal's reason
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
