import { isLxmertError } from '../../errors.js';
import { openDetector } from '../detector.js';
import type { Detection, Detector, PreparedPicture } from '../detector.js';
import { findPictures } from '../input/findPictures.js';
import { openPartialTsv } from './partialTsv.js';

export interface ExtractOptions {
  /** A detector that `importDetector` made. */
  readonly detector: string;
  /** CPU threads of the detector; 0 (default): all cores. */
  readonly threads?: number | undefined;
  /** Leave pictures out of which no features can be made, instead of stopping at the first. */
  readonly skipBad?: boolean | undefined;
  readonly onProgress?: ((progress: ExtractProgress) => void) | undefined;
}

export interface ExtractProgress {
  /** Pictures that are done, those of earlier processes included, of all. */
  readonly done: number;
  readonly pictures: number;
  /** Seconds until all are done, at the rate so far. */
  readonly secondsLeft: number;
}

export interface ExtractReport {
  /** Pictures in the file. */
  readonly pictures: number;
  /** How many of them an earlier process had made. */
  readonly continued: number;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  readonly picturesPerSecond: number;
}

/** A picture that was prepared, or why it could not be. */
type Settled = { readonly prepared: PreparedPicture } | { readonly error: unknown };

async function detected(settled: Settled, detector: Detector): Promise<Detection | { readonly error: unknown }> {
  if ('error' in settled) return settled;
  try {
    return await detector.detect(settled.prepared);
  } catch (error) {
    return { error };
  }
}

/** Errors of a picture itself. */
const badPicture = (error: unknown): error is Error & { code: string } =>
  isLxmertError(error) && ['BAD_DATA', 'FILE_MISSING', 'FILE_ACCESS'].includes(error.code);

/**
 * Writes the features of pictures as the original's TSV, one picture after the other; the next picture is decoded while the
 * detector works. A process that is killed leaves `OUT.part`; the same call continues it.
 * @param paths files and folders
 * @throws as `findPictures`, `openDetector`, `openPartialTsv`; BAD_DATA naming a picture, unless bad ones are skipped
 */
export async function extractFeatures(
  paths: readonly string[],
  out: string,
  { detector: file, threads, skipBad = false, onProgress }: ExtractOptions,
): Promise<ExtractReport> {
  const pictures = await findPictures(paths);
  const detector = await openDetector(file, { threads });
  try {
    const tsv = await openPartialTsv(out, detector.recipe.graph + JSON.stringify(detector.recipe));
    try {
      const left = pictures.filter(({ id }) => !tsv.ids.has(id));
      const before = pictures.length - left.length;
      const skipped: { path: string; reason: string }[] = [];
      const start = performance.now();
      const prepare = ({ path }: { readonly path: string }): Promise<Settled> =>
        detector.prepare(path).then(
          (prepared) => ({ prepared }),
          (error: unknown) => ({ error }),
        );
      let next = left.length > 0 ? prepare(left[0]) : undefined;
      for (const [i, { id, path }] of left.entries()) {
        const settled = await next!;
        next = i + 1 < left.length ? prepare(left[i + 1]) : undefined;
        try {
          const found = await detected(settled, detector);
          if ('error' in found) {
            if (!skipBad || !badPicture(found.error)) throw found.error;
            skipped.push({ path, reason: found.error.message });
          } else await tsv.add({ id, ...found });
        } catch (error) {
          // Nothing goes on working after the error.
          await next;
          throw error;
        }
        const secondsLeft = ((performance.now() - start) / 1000 / (i + 1)) * (left.length - i - 1);
        onProgress?.({ done: before + i + 1, pictures: pictures.length, secondsLeft });
      }
      const seconds = (performance.now() - start) / 1000;
      await tsv.finish();
      const made = left.length - skipped.length;
      const continued = tsv.ids.size;
      return { pictures: continued + made, continued, skipped, picturesPerSecond: made === 0 ? 0 : made / seconds };
    } catch (error) {
      await tsv.close();
      throw error;
    }
  } finally {
    await detector.close();
  }
}
