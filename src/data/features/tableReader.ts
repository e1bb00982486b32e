import type { ObjectRows, ResidentReader, SharedResident } from './featureSource.js';
import { copyDetections } from './memoryFeatures.js';

/** Reads boxes, classes and confidences from host memory; the features are on the device. */
export class TableReader implements ResidentReader {
  readonly shared: SharedResident;

  constructor(shared: SharedResident) {
    this.shared = shared;
  }

  get path(): string {
    return this.shared.path;
  }

  get featureDim(): number {
    return this.shared.featureDim;
  }

  numObjects(image: number): number {
    return this.shared.numObjects[image];
  }

  firstRow(image: number): number {
    return this.shared.firstRows[image];
  }

  async read(image: number, into: ObjectRows, row: number): Promise<void> {
    const from = this.firstRow(image);
    copyDetections(this.shared.rows, from, from + this.numObjects(image), into, row);
  }

  async close(): Promise<void> {
    // The garbage collector frees the arrays.
  }
}
