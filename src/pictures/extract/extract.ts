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
  /** A detector that `importDetector` made, or the YAML of a detector of one's own. */
  readonly detector: string;
  /** Pictures that are worked on at the same time, by a thread and a copy of the detector each; default 1. 0: no threads. */
  readonly workers?: number | undefined;
  readonly workerScript?: URL | undefined;
  /** Of a feature store's features; default float16. */
  readonly dtype?: StoreDtype | undefined;
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
  /** Pictures in the result. */
  readonly pictures: number;
  /** How many of them an earlier process had made. */
  readonly continued: number;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  readonly picturesPerSecond: number;
}

/** Errors of a picture itself. */
const badPicture = (error: unknown): error is LxmertError =>
  isLxmertError(error) && ['BAD_DATA', 'FILE_MISSING', 'FILE_ACCESS'].includes(error.code);

/**
 * Makes features of pictures: the original's TSV where `out` ends in `.tsv`, else a feature store. Each picture is written as
 * soon as it is done, in the order of the pictures. A process that is killed leaves `OUT.part`; the same call continues it, and
 * ends with the same bytes.
 * @param paths files, folders, globs and zips
 * @throws as `findPictures`, `openDetector`, `openJournal`; BAD_ARGUMENT when `out` is there; BAD_DATA naming a picture, unless
 *   bad ones are skipped
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
  // 0 stands for all cores, which the workers share.
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
      // An earlier process was killed when only this was left to do.
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

/** Detects the objects of pictures, some at the same time; results come in order. One more picture than there are workers is prepared. */
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
    // After an error nothing goes on working.
    await Promise.all(ahead);
  }
}
