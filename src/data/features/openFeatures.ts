import { stat } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import type { FeatureSource } from './featureSource.js';
import { IN_MEMORY_BYTES, openFeatureTsv } from './featureTsv.js';
import type { FeatureTsvOptions } from './featureTsv.js';
import { mergeSources } from './mergedFeatures.js';

/** Files with features, each opened (and indexed, or loaded) once, however many splits show its images. */
export class FeatureFiles {
  readonly #opened = new Map<string, FeatureSource>();

  /**
   * The images of some files as one source, whose reader is not to be closed by itself. Files that are open already stay as
   * they are; without `inMemory`, the others are kept in memory when all are under 512 MiB together. Rejects as
   * `openFeatureTsv` does.
   */
  async open(paths: readonly string[], options: FeatureTsvOptions): Promise<FeatureSource> {
    const different = [...new Set(paths)];
    let bytes = 0;
    for (const path of different) bytes += (await stat(path).catch(() => undefined))?.size ?? 0;
    const { inMemory = bytes < IN_MEMORY_BYTES } = options;
    const sources: FeatureSource[] = [];
    for (const path of different) {
      const source = this.#opened.get(path) ?? (await openFile(path, { ...options, inMemory }));
      this.#opened.set(path, source);
      sources.push(source);
    }
    return mergeSources(sources);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ reader }) => reader.close()));
  }
}

/** Opens features of the form that lies at `path`: today a TSV. Another form is another branch here. */
async function openFile(path: string, options: FeatureTsvOptions): Promise<FeatureSource> {
  const found = await stat(path).catch((error: unknown) => {
    throw readFailure(path, 'image features', error);
  });
  if (found.isDirectory()) {
    throw new LxmertError('UNSUPPORTED', `${path}: is a folder; features are read from a TSV file`);
  }
  return openFeatureTsv(path, options);
}
