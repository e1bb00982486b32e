import { open } from 'node:fs/promises';
import { readFailure } from '../../formats/fileErrors.js';
import { featureSource } from './featureSource.js';
import type { FeatureSource } from './featureSource.js';
import { loadIntoMemory } from './memoryFeatures.js';
import { indexTsv } from './tsvIndex.js';
import type { MayFail } from './tsvIndex.js';
import { TsvReader } from './tsvReader.js';

export interface FeatureTsvOptions {
  /** Number of classes of the detector; default 1600 object classes and 400 attribute classes (Visual Genome). */
  readonly objectLabels?: number | undefined;
  readonly attributeLabels?: number | undefined;
  /** Whether to decode the whole file once and keep it in memory; default: if the file is smaller than 512 MiB. */
  readonly inMemory?: boolean | undefined;
  /** Allows damaged images. By default opening fails at the first damaged image. */
  readonly mayFail?: MayFail | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** By default, smaller files are kept in memory. */
export const IN_MEMORY_BYTES = 512 * 2 ** 20;

/**
 * Opens a feature TSV (the form of bottom-up-attention that LXMERT uses). The whole file is read once, to check all its
 * data except the values of features. After that an image is read by its position. Rejects with FILE_MISSING,
 * FILE_ACCESS, BAD_DATA naming line and field, or the signal's reason.
 */
export async function openFeatureTsv(path: string, options: FeatureTsvOptions = {}): Promise<FeatureSource> {
  const { mayFail, signal } = options;
  const failed = (error: unknown): never => {
    throw readFailure(path, 'a feature TSV', error);
  };
  const handle = await open(path).catch(failed);
  try {
    const limits = {
      path,
      objectLabels: options.objectLabels ?? 1600,
      attributeLabels: options.attributeLabels ?? 400,
    };
    const { size, mtimeMs: modified } = await handle.stat().catch(failed);
    const { imageIds, positions, featureDim, index, remarks } = await indexTsv(handle, limits, { mayFail, signal });
    const reader = new TsvReader(handle, { form: 'tsv', ...limits, featureDim, index, size, modified });
    const source = { ...featureSource(reader, imageIds, positions), remarks };
    if (!(options.inMemory ?? size < IN_MEMORY_BYTES)) return source;
    const memory = await loadIntoMemory(source, { mayFail, signal });
    await reader.close();
    return { ...memory, remarks };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
