import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ConfigTree } from '../../config/presets.js';
import { isThere } from '../../formats/fileErrors.js';
import { lookIntoRun, readMetrics, runFiles } from '../../train/index.js';
import type { ValidRecord } from '../../train/index.js';

/** How a model was trained, as its run folder says. */
export interface TrainingFacts {
  /** The name of the run folder. */
  readonly name: string;
  /** Optimizer steps of the checkpoint. */
  readonly step: number;
  /** The settings of the run. */
  readonly config: ConfigTree;
  /** The validation after these steps; absent if there was none. */
  readonly validation?: ValidRecord | undefined;
}

/**
 * The training of a checkpoint, if its folder is in a run.
 * @returns undefined for weights that are in no run
 * @throws RUN_FOLDER for a damaged run; FILE_ACCESS
 */
export async function trainingOf(checkpoint: string): Promise<TrainingFacts | undefined> {
  const folder = await realpath(checkpoint);
  const step = /^step-(\d+)$/.exec(basename(folder))?.[1];
  if (step === undefined || basename(dirname(folder)) !== runFiles.checkpoints) return undefined;
  const run = dirname(dirname(folder));
  const { config } = await lookIntoRun(run);
  if (!config) return undefined;
  return { name: basename(run), step: Number(step), config, validation: await validationAt(run, Number(step)) };
}

async function validationAt(run: string, step: number): Promise<ValidRecord | undefined> {
  const path = join(run, runFiles.metrics);
  if (!(await isThere(path))) return undefined;
  for await (const record of readMetrics(path)) if ('split' in record && record.step === step) return record;
  return undefined;
}
