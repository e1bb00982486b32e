import { LxmertError } from '../errors.js';
import type { OpenDetectorOptions } from './detection.js';

/** The allowed numbers of objects of a picture. */
export interface ObjectCounts {
  /** Fewer objects are an error. */
  readonly least: number;
  readonly most: number;
  /** Objects with at least this score are taken, but at least `least` and at most `most` objects. */
  readonly threshold: number;
}

/**
 * The counts of a detector, after the options have changed them.
 * @param available the largest number of objects that the detector can give
 * @throws BAD_ARGUMENT if the options contradict each other, or if the detector cannot give so many objects
 */
export function countsOf(
  { least: ownLeast, most: ownMost, threshold }: ObjectCounts,
  available: number,
  { minObjects, maxObjects, threshold: given }: OpenDetectorOptions,
): ObjectCounts {
  const least = minObjects ?? Math.min(ownLeast, maxObjects ?? ownLeast);
  const most = maxObjects ?? Math.max(ownMost, least);
  if (least > most)
    throw new LxmertError('BAD_ARGUMENT', `at least ${least} and at most ${most} objects of a picture cannot be had`);
  if (least > available)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${least} objects of a picture cannot be had: the detector has ${available} proposals`,
    );
  return { least, most, threshold: given ?? threshold };
}

/** @throws BAD_DATA naming the picture */
export function demandEnough(found: number, { least }: ObjectCounts, picture: string): void {
  if (found < least)
    throw new LxmertError('BAD_DATA', `${picture}: the detector finds ${found} objects; at least ${least} are wanted`);
}
