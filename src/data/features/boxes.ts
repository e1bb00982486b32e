/** How far a share of the picture may lie outside 0 … 1 by rounding (the original's tolerance). */
export const ROUNDING = 1e-5;

/** Whether a coordinate, as a share of the picture, lies outside of it by more than rounding. */
export const isOutside = (share: number): boolean => share >= 1 + ROUNDING || share <= -ROUNDING;
