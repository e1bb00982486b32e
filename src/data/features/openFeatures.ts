import { stat } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { join } from 'node:path';
import { isThere, readFailure } from '../../formats/fileErrors.js';
import { openStoreSource } from '../store/openStore.js';
import { manifestFile } from '../store/storeForm.js';
import type { FeatureSource } from './featureSource.js';
import { IN_MEMORY_BYTES, openFeatureTsv } from './featureTsv.js';
import type { FeatureTsvOptions } from './featureTsv.js';
import { mergeSources } from './mergedFeatures.js';

export interface FeatureFilesOptions {
  /** Compare the checksum of each image that is read from a store; default false. */
  readonly verifyReads?: boolean | undefined;
}

/** What one file holds. */
export interface FeatureFileReport {
  readonly path: string;
  readonly images: number;
  /** Floats of one object's feature. */
  readonly featureDim: number;
  /** What looks odd but may be right, a clause each. */
  readonly remarks: readonly string[];
}

/** Files with features, each opened (and indexed, or loaded) once, however many splits show its images. */
export class FeatureFiles {
  readonly #opened = new Map<string, FeatureSource>();
  readonly #verifyReads: boolean;

  constructor({ verifyReads = false }: FeatureFilesOptions = {}) {
    this.#verifyReads = verifyReads;
  }

  /**
   * The images of some files as one source, and the files that were not open before. Only `close` closes the source. Files
   * that are open stay as they are; without `inMemory`, the others are kept in memory when all are under 512 MiB together.
   * Rejects as `openFeatureTsv` does.
   */
  async open(
    paths: readonly string[],
    options: FeatureTsvOptions,
  ): Promise<{ readonly source: FeatureSource; readonly opened: readonly FeatureFileReport[] }> {
    const different = [...new Set(paths)];
    let bytes = 0;
    for (const path of different) bytes += (await stat(path).catch(() => undefined))?.size ?? 0;
    const { inMemory = bytes < IN_MEMORY_BYTES } = options;
    const sources: FeatureSource[] = [];
    const opened: FeatureFileReport[] = [];
    for (const path of different) {
      const known = this.#opened.get(path);
      const source = known ?? (await openFile(path, { ...options, inMemory }, this.#verifyReads));
      this.#opened.set(path, source);
      sources.push(source);
      const { imageIds, reader, remarks = [] } = source;
      if (!known) opened.push({ path, images: imageIds.length, featureDim: reader.featureDim, remarks });
    }
    return { source: mergeSources(sources), opened };
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ reader }) => reader.close()));
  }
}

/** Opens features of the form that lies at `path`: a folder is a store, a file a TSV. Another form is another branch here. */
async function openFile(path: string, options: FeatureTsvOptions, verifyReads: boolean): Promise<FeatureSource> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(path, 'image features', error);
  });
  if (found.isDirectory()) {
    if (!(await isThere(join(path, manifestFile))))
      throw new LxmertError(
        'BAD_DATA',
        `${path}: is a folder without ${manifestFile}, so no feature store; make one of it with lxmert features import`,
      );
    return openStoreSource(path, { verifyReads });
  }
  return openFeatureTsv(path, options);
}
