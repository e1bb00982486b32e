import { availableParallelism } from 'node:os';
import { LxmertError } from '../../errors.js';
import { ahead } from '../concurrency.js';
import { describeValue } from '../../formats/describe.js';
import type { FeatureReader } from './featureSource.js';
import { sharedArrays } from '../sharedArrays.js';
import { partReader } from './tableParts.js';
import type { BeyondHalf, TablePart, TablePlan } from './tableParts.js';
import type { TableRequest, TableStart } from './tableWorker.js';
import { openThreads } from '../threads.js';

/** Options of reading a table. They do not change its contents. */
export interface ReadTableOptions {
  /** Number of threads that read and decode. With 0, the default, the calling thread does it. */
  readonly workers?: number;
  /** Bytes that are read at a time, as float32; default 16 MiB. A larger image is read at once. */
  readonly pieceBytes?: number;
  /** The program of the threads; default: `tableWorker.js` beside this module. A program that bundles the package sets it. */
  readonly workerScript?: URL;
}

const MOST_DEFAULT_READERS = 8;

/**
 * Default number of threads that read a table: one less than the number of cores, from 1 to 8. The remaining core makes
 * the uploads.
 */
export function defaultReaders(cores = availableParallelism()): number {
  return Math.min(Math.max(cores - 1, 1), MOST_DEFAULT_READERS);
}

/** A set of images to read from. */
export interface TableSource {
  readonly reader: FeatureReader;
  readonly imageIds: readonly string[];
}

/** Reads parts, in the calling thread or in other threads. */
interface PartThreads {
  /** Number of parts that the caller should request ahead, so that readers stay busy. */
  readonly ahead: number;
  read(request: TableRequest): Promise<BeyondHalf | undefined>;
  close(): Promise<void>;
}

/**
 * Gives the rows of a table in order, part by part, as bits of float16 in shared memory, from which an engine uploads
 * without a copy. A piece is overwritten after the next piece is requested. The first part with an error ends the reading.
 */
export async function* tablePieces(
  sources: readonly TableSource[],
  parts: readonly TablePart[],
  plan: TablePlan,
  options: ReadTableOptions,
): AsyncGenerator<Uint16Array, void, undefined> {
  const width = sources[0].reader.featureDim;
  const threads = openPartThreads(sources, plan, options);
  // The caller uses one block, and the threads use the others.
  const blocks = Array.from({ length: threads.ahead + 1 }, () => sharedArrays.uint16(plan.mostRows * width));
  const start = async (part: TablePart, i: number): Promise<Uint16Array> => {
    const halves = blocks[i % blocks.length].subarray(0, part.rows * width);
    const beyond = await threads.read({ part, halves });
    if (beyond) throw tooLarge(sources[part.set], part, beyond);
    return halves;
  };
  try {
    yield* ahead(parts.entries(), ([i, part]) => start(part, i), threads.ahead);
  } finally {
    await threads.close();
  }
}

function openPartThreads(
  sources: readonly TableSource[],
  plan: TablePlan,
  { workers = 0, workerScript: script = new URL('./tableWorker.js', import.meta.url) }: ReadTableOptions,
): PartThreads {
  if (workers === 0) {
    const read = partReader(
      sources.map(({ reader }) => reader),
      plan,
    );
    let last: Promise<unknown> = Promise.resolve();
    return {
      ahead: 1,
      read: ({ part, halves }) => {
        const result = read(part, halves);
        last = result.catch(() => undefined);
        return result;
      },
      close: async () => {
        await last;
      },
    };
  }
  const start: TableStart = { features: sources.map(({ reader }) => reader.shared), plan };
  const threads = openThreads<TableRequest, BeyondHalf | undefined>({
    ...{ what: 'reads features', script, count: workers, start },
  });
  return { ahead: workers + 1, read: (request) => threads.run(request), close: () => threads.close() };
}

function tooLarge({ reader, imageIds }: TableSource, { images }: TablePart, { place, value }: BeyondHalf): LxmertError {
  const row = Math.floor(place / reader.featureDim);
  let [first, at] = [0, 0];
  while (row >= first + reader.numObjects(images[at])) first += reader.numObjects(images[at++]);
  const image = images[at];
  return new LxmertError(
    'BAD_DATA',
    `${reader.placeOf(image)}: features of image ${describeValue(imageIds[image])} have ${value} for object ` +
      `${row - first}, value ${place % reader.featureDim}; float16 goes to 65504. Leave residentFeatures out`,
  );
}
