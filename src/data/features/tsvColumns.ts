import { LxmertError } from '../../errors.js';
import { describeValue } from '../../formats/describe.js';

/** The columns of a feature TSV, in order (the original's FIELDNAMES). */
export const tsvColumns = [
  'img_id',
  'img_h',
  'img_w',
  'objects_id',
  'objects_conf',
  'attrs_id',
  'attrs_conf',
  'num_boxes',
  'boxes',
  'features',
] as const;

export type TsvColumn = (typeof tsvColumns)[number];

/** The arrays whose length is given by `num_boxes`: column, and bytes of one object. */
export const detectionColumns = [
  [3, 8],
  [4, 4],
  [5, 8],
  [6, 4],
  [8, 16],
] as const;

/** The place of a line, and the limits of its numbers. */
export interface TsvContext {
  readonly path: string;
  /** The line number, from 1. */
  readonly line: number;
  /** The image id for messages; undefined if it is not known yet. */
  readonly imageId?: string | undefined;
  readonly objectLabels: number;
  readonly attributeLabels: number;
}

/** Makes an error about one field: `features.tsv: line 3: num_boxes must be …, found … (image "COCO_1")`. */
export function fieldError(
  { path, line, imageId }: Pick<TsvContext, 'path' | 'line' | 'imageId'>,
  field: TsvColumn | 'img_h and img_w' | '',
  problem: string,
): LxmertError {
  const image = imageId === undefined ? '' : ` (image ${describeValue(imageId)})`;
  return new LxmertError('BAD_DATA', `${path}: line ${line}: ${field}${field && ' '}${problem}${image}`);
}
