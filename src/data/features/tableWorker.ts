/** The program of a thread that reads parts of a table of features (see `tablePieces`). */
import type { FeatureReader, SharedFeatures } from './featureSource.js';
import { openSharedFeatures } from './mergedFeatures.js';
import { partReader } from './tableParts.js';
import type { BeyondHalf, TablePart, TablePlan } from './tableParts.js';
import { threadProgram } from '../threads.js';

export interface TableStart {
  /** The features of each set. */
  readonly features: readonly SharedFeatures[];
  readonly plan: TablePlan;
}

export interface TableRequest {
  readonly part: TablePart;
  /** Shared memory for the features of the part. */
  readonly halves: Uint16Array;
}

export default threadProgram<{ start: TableStart; request: TableRequest; result: BeyondHalf | undefined }>(
  async ({ features, plan }) => {
    const readers: FeatureReader[] = [];
    for (const shared of features) readers.push(await openSharedFeatures(shared));
    const read = partReader(readers, plan);
    return async ({ part, halves }) => ({ content: await read(part, halves) });
  },
);
