import { open } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { ConfigTree } from '../config/presets.js';
import { LxmertError } from '../errors.js';
import { fileError, isThere } from '../formats/fileErrors.js';
import { readScalars } from '../formats/tensorBoard.js';
import { isRecord } from '../records.js';
import { lookIntoRun, runFiles, type StepRecord, type ValidRecord } from '../train/index.js';

/** The data in the files of a run folder: settings, steps, validations and checkpoints of the run. */
export interface RunHistory {
  /** Last part of the folder's path. */
  readonly name: string;
  readonly folder: string;
  /** The contents of `config.json`. */
  readonly config: ConfigTree;
  readonly steps: readonly StepRecord[];
  readonly validations: readonly ValidRecord[];
  /** Numbers, from 1, of the lines of `metrics.jsonl` that are not valid records. */
  readonly damagedLines: readonly number[];
  /** Steps that have a checkpoint, ascending. */
  readonly checkpoints: readonly number[];
  /** Resident memory of the process in bytes, by step, from the TensorBoard files; empty if there are none. */
  readonly memory: readonly { readonly step: number; readonly value: number }[];
}

/**
 * Reads a run folder. The run may still be training: an incomplete last line of `metrics.jsonl` is left out.
 * @throws RUN_FOLDER if the folder does not contain a run; FILE_ACCESS
 */
export async function readHistory(folder: string): Promise<RunHistory> {
  const { config, checkpoints } = await lookIntoRun(folder);
  if (!config)
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} is not a run: it has no ${runFiles.config}. Give the folder of --out`,
    );
  const metrics = join(folder, runFiles.metrics);
  const lines = (await isThere(metrics)) ? await readLines(metrics) : { steps: [], validations: [], damagedLines: [] };
  return {
    ...lines,
    name: basename(resolve(folder)),
    folder,
    config,
    checkpoints,
    memory: await readScalars(folder, 'train/processMemoryBytes'),
  };
}

async function readLines(path: string): Promise<Pick<RunHistory, 'steps' | 'validations' | 'damagedLines'>> {
  const steps: StepRecord[] = [];
  const validations: ValidRecord[] = [];
  const damagedLines: number[] = [];
  let number = 0;
  let torn = false;
  const file = await open(path, 'r').catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  try {
    for await (const line of file.readLines()) {
      number += 1;
      const record = recordIn(line);
      torn = record === undefined;
      if (record === undefined) damagedLines.push(number);
      else if ('split' in record) validations.push(record);
      else steps.push(record);
    }
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  // The run may be writing the last line now, so an incomplete last line is not damage.
  if (torn) damagedLines.pop();
  return { steps, validations, damagedLines };
}

function recordIn(line: string): StepRecord | ValidRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const isOne = isRecord(value) && Number.isSafeInteger(value.step) && isRecord(value.losses);
    return isOne ? (value as unknown as StepRecord | ValidRecord) : undefined;
  } catch {
    return undefined;
  }
}
