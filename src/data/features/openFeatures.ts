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

/** The contents of one file with features. */
export interface FeatureFileReport {
  readonly path: string;
  readonly images: number;
  /** Floats of one object's feature. */
  readonly featureDim: number;
  /** One text for each property that is unusual but may be intended. */
  readonly remarks: readonly string[];
}

/** Files with features. Each file is opened (and indexed or loaded) only once, even if several splits use it. */
export class FeatureFiles {
  readonly #opened = new Map<string, FeatureSource>();
  readonly #verifyReads: boolean;

  constructor({ verifyReads = false }: FeatureFilesOptions = {}) {
    this.#verifyReads = verifyReads;
  }

  /**
   * Returns the images of some files as one source, and reports on the files that were not open before. Only `close`
   * closes the source. If `inMemory` is not given, newly opened files are loaded into memory if the total size of all
   * given files is below 512 MiB. Rejects with the errors of `openFeatureTsv`.
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

  /** Closes all files. May be called again. */
  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ reader }) => reader.close()));
  }
}

/** Opens the features at `path`: a folder is a store, a file is a TSV. */
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
