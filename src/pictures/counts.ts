import { LxmertError } from '../errors.js';
import type { OpenDetectorOptions } from './detection.js';

/** How many objects of a picture are wanted. */
export interface ObjectCounts {
  /** Fewer are an error. */
  readonly least: number;
  readonly most: number;
  /** Objects that score this much are wanted, as far as `least` and `most` allow. */
  readonly threshold: number;
}

/**
 * The counts of a detector, changed by options.
 * @param available objects that the detector can give at most
 * @throws BAD_ARGUMENT for counts that cannot be had
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
