/** A tensor of a detector in memory. */
export interface Weight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A tensor of a file, whose values are read on demand. */
export interface NamedWeight {
  readonly shape: readonly number[];
  /** The name in the file, for messages. */
  readonly nameInFile: string;
  read(): Promise<Float32Array>;
}

/** The tensors of a detector, by detectron2's names. */
export interface DetectorWeights {
  readonly path: string;
  has(name: string): boolean;
  /** The name of a tensor in the file. */
  nameInFile(name: string): string;
  /**
   * Reads a tensor, which must have the given shape; -1 means any size.
   * @throws BAD_DATA naming the tensor that is missing, has another shape, or contains a value that is not finite
   */
  get(name: string, shape: readonly number[]): Promise<Weight>;
  close(): Promise<void>;
}

/** The `eps` of batch norm, in Caffe, detectron2 and torch. */
export const epsilon = 1e-5;
