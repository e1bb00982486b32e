import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { stat } from 'node:fs/promises';
import { LxmertError, isLxmertError } from '../../errors.js';
import type { StoreDtype } from '../../data/store/storeForm.js';
import { isThere } from '../../formats/fileErrors.js';
import { describeDetector } from '../detector.js';
import type { Detection, DetectorDescription, OpenDetectorOptions } from '../detection.js';
import { findPictures } from '../input/findPictures.js';
import type { PictureFile } from '../input/findPictures.js';
import { openDetectors } from './detectThreads.js';
import type { Detectors } from './detectThreads.js';
import { journalIsLeft, openJournal } from './journal.js';
import { storeOfJournal } from './journalStore.js';

export interface ExtractOptions extends OpenDetectorOptions {
  /** A detector that `importDetector` made, or the YAML of the user's own detector. */
  readonly detector: string;
  /**
   * The number of pictures that are processed at the same time; default 1. Each has a thread with a copy of the
   * detector. 0: the calling thread detects.
   */
  readonly workers?: number | undefined;
  readonly workerScript?: URL | undefined;
  /** The number type of the features in a feature store; default float16. */
  readonly dtype?: StoreDtype | undefined;
  /** Whether a picture for which no features can be made is left out. Otherwise the first such picture is an error. */
  readonly skipBad?: boolean | undefined;
  readonly onProgress?: ((progress: ExtractProgress) => void) | undefined;
}

export interface ExtractProgress {
  /** The number of finished pictures, including those of earlier processes, and the number of all pictures. */
  readonly done: number;
  readonly pictures: number;
  /** Estimated seconds until all pictures are finished, from the mean speed of this process. */
  readonly secondsLeft: number;
}

export interface ExtractReport {
  /** Number of pictures in the result. */
  readonly pictures: number;
  /** The number of these pictures that an earlier process had finished. */
  readonly continued: number;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  readonly picturesPerSecond: number;
}

/** Whether the error is about one picture, so that the other pictures can still be processed. */
const badPicture = (error: unknown): error is LxmertError =>
  isLxmertError(error) && ['BAD_DATA', 'FILE_MISSING', 'FILE_ACCESS'].includes(error.code);

/**
 * Makes features of pictures: the original's TSV if `out` ends in `.tsv`, otherwise a feature store. Each picture is
 * written as soon as it is finished, in the order of the pictures. If the process is killed, the same call continues
 * from `OUT.part`, and the result has the same bytes as without the interruption.
 * @param paths files, folders, globs and zips
 * @throws as `findPictures`, `openDetector`, `openJournal`; BAD_ARGUMENT if `out` exists; BAD_DATA naming a bad
 *   picture, unless `skipBad` is set
 */
export async function extractFeatures(
  paths: readonly string[],
  out: string,
  {
    detector: path,
    skipBad = false,
    workers = 1,
    dtype = 'float16',
    workerScript,
    onProgress,
    ...given
  }: ExtractOptions,
): Promise<ExtractReport> {
  const toStore = !out.endsWith('.tsv');
  const finished = await isThere(out);
  if (finished && !(toStore && (await journalIsLeft(out))))
    throw new LxmertError('BAD_ARGUMENT', `${out} is there already; remove it, or name another with --out`);
  const pictures = await findPictures(paths);
  // Without a number of threads (undefined or 0), the workers share all cores.
  const share = Math.max(1, Math.floor(availableParallelism() / Math.max(1, workers)));
  const threads = given.threads === undefined || given.threads === 0 ? share : given.threads;
  const options: OpenDetectorOptions = { ...given, threads };
  const description = await describeDetector(path, options);
  const journal = await openJournal(out, JSON.stringify([description.identity, toStore ? dtype : 'tsv']));
  try {
    const left = pictures.filter(({ id }) => !journal.ids.has(id));
    const before = pictures.length - left.length;
    const skipped: { path: string; reason: string }[] = [];
    const start = performance.now();
    const detectors = await openDetectors({ path, options }, { workers, workerScript });
    let made = 0;
    try {
      for await (const { picture, result } of detections(left, { description, detectors, workers })) {
        if (result instanceof Error) {
          if (!skipBad || !badPicture(result)) throw result;
          skipped.push({ path: picture.path, reason: result.message });
        } else {
          await journal.add({ id: picture.id, ...result });
          made++;
        }
        const done = made + skipped.length;
        const secondsLeft = ((performance.now() - start) / 1000 / done) * (left.length - done);
        onProgress?.({ done: before + done, pictures: pictures.length, secondsLeft });
      }
    } finally {
      await detectors.close();
    }
    const seconds = (performance.now() - start) / 1000;
    if (toStore && finished) {
      // An earlier process was killed after it had made the store and before it removed the journal.
      await journal.remove();
    } else if (toStore) {
      const { objects = 1600, attributes = 400 } = description;
      await storeOfJournal(journal.path, out, {
        ...{ dtype, objectLabels: objects, attributeLabels: attributes },
        source: { form: 'pictures', files: [{ name: basename(path), bytes: (await stat(path)).size }] },
        skipped: skipped.map(({ path: place, reason }) => ({ place, reason })),
      });
      await journal.remove();
    } else await journal.rename();
    const continued = journal.ids.size;
    return { pictures: continued + made, continued, skipped, picturesPerSecond: made === 0 ? 0 : made / seconds };
  } catch (error) {
    await journal.close();
    throw error;
  }
}

interface DetectionOptions {
  readonly description: DetectorDescription;
  readonly detectors: Detectors;
  readonly workers: number;
}

interface Detected {
  readonly picture: PictureFile;
  readonly result: Detection | Error;
}

/**
 * Detects the objects of pictures. Up to `workers` + 1 pictures are in progress at the same time. The results come in
 * the order of the pictures.
 */
async function* detections(
  pictures: readonly PictureFile[],
  { description, detectors, workers }: DetectionOptions,
): AsyncGenerator<Detected, void, undefined> {
  const ahead: Promise<Detected>[] = [];
  const work = (picture: PictureFile): Promise<Detected> =>
    description
      .prepare(picture)
      .then((prepared) => detectors.detect(prepared))
      .then(
        (result) => ({ picture, result }),
        (error: unknown) => ({ picture, result: error instanceof Error ? error : new Error(String(error)) }),
      );
  let next = 0;
  try {
    while (next < pictures.length || ahead.length > 0) {
      while (ahead.length < workers + 1 && next < pictures.length) ahead.push(work(pictures[next++]));
      yield await ahead.shift()!;
    }
  } finally {
    // After an error, waits until no picture is in progress any more.
    await Promise.all(ahead);
  }
}
