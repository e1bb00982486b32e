/** Tolerance: rounding may put a share of the picture outside 0 … 1 by less than this (as in the original). */
export const ROUNDING = 1e-5;

/** Whether a coordinate, as a share of the picture, is outside the picture by more than rounding. */
export const isOutside = (share: number): boolean => share >= 1 + ROUNDING || share <= -ROUNDING;
