import type { FeatureTable } from '../data/features/residentFeatures.js';
import { dtypeBytes, rowBlock, type Engine, type Tensor } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { gibibytes } from '../figures.js';

/** Options of loading a table. */
export interface LoadOptions {
  /** Called with the share of the table that is on the device. */
  readonly progress?: ((share: number) => void) | undefined;
  /** Ends loading after the current piece. The features that are already on the device cannot be used then. */
  readonly signal?: AbortSignal | undefined;
}

/** The features that stay on the device; they fill their arena: [objects, featureDim] f16. */
export function featureTable(engine: Engine, featureDim: number): Tensor {
  const rows = Math.floor(engine.memory().features / (featureDim * dtypeBytes.f16));
  return engine.tensor('features', 0, [rows, featureDim], 'f16');
}

/** Bytes of a table on the device. */
export function tableBytes({ rows, featureDim }: Pick<FeatureTable, 'rows' | 'featureDim'>): number {
  return rows * featureDim * dtypeBytes.f16;
}

/** Reserves a table of zeros. @throws LxmertError OUT_OF_MEMORY with the bytes needed and available */
export function reserveFeatures(engine: Engine, table: FeatureTable): void {
  try {
    engine.reserve('features', tableBytes(table));
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'OUT_OF_MEMORY') throw error;
    const { rows, featureDim } = table;
    throw new LxmertError(
      'OUT_OF_MEMORY',
      `features of ${rows} objects × ${featureDim} numbers take ${gibibytes(tableBytes(table))} of the device ` +
        `as float16, which it does not have: ${(error as Error).message}. Leave residentFeatures out, or name fewer splits`,
      { cause: error },
    );
  }
}

/**
 * Reads a table's features and uploads them, one piece at a time.
 * @throws LxmertError OUT_OF_MEMORY before anything is read; BAD_DATA; the signal's reason
 */
export async function loadFeatures(
  engine: Engine,
  table: FeatureTable,
  { progress, signal }: LoadOptions = {},
): Promise<void> {
  reserveFeatures(engine, table);
  const { rows, featureDim } = table;
  const whole = featureTable(engine, featureDim);
  let done = 0;
  for await (const piece of table.pieces()) {
    const count = piece.length / featureDim;
    await engine.upload(rowBlock(whole, done, count), piece);
    done += count;
    progress?.(done / rows);
    signal?.throwIfAborted();
  }
}
