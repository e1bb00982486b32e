import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadRunConfig } from '../config/loadConfig.js';
import type { DeviceName, RunConfig } from '../config/runConfig.js';
import { fromTransformersJson } from '../config/transformers.js';
import { LxmertError } from '../errors.js';
import { fileError, isThere } from '../formats/fileErrors.js';
import { Pretrainer } from '../pretrain/pretrainer.js';
import {
  checkpointFiles,
  findVocabulary,
  loadWeights,
  lookIntoRun,
  readCheckpointAnswers,
  runFiles,
} from '../train/index.js';

/** The links to checkpoints in `RUN/checkpoints`. */
export const checkpointLinks = ['best', 'last'] as const;
export type CheckpointLink = (typeof checkpointLinks)[number];

/** The files of a run's model. */
export interface TrainedRun {
  /** The configuration of the run. */
  readonly config: RunConfig;
  /** Folder of the checkpoint. */
  readonly checkpoint: string;
  /** The answer of each row of the answer head; undefined if the model cannot answer questions. */
  readonly answers: readonly string[] | undefined;
  /** The vocabulary file of the model, for `WordPiece.load`; undefined: the vocabulary of bert-base-uncased. */
  readonly vocabFile: string | undefined;
}

/**
 * Finds a checkpoint of a run.
 * @param link which checkpoint. Default: the best by validation loss, or the last if there was no validation
 * @throws RUN_FOLDER if there is no run, or no such checkpoint yet; BAD_CHECKPOINT, FILE_ACCESS
 */
export async function findTrainedRun(folder: string, link?: CheckpointLink): Promise<TrainedRun> {
  const { config: saved, checkpoints } = await lookIntoRun(folder);
  if (!saved) throw new LxmertError('RUN_FOLDER', `${folder} is not a run: it has no ${runFiles.config}`);
  if (checkpoints.length === 0)
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} has no checkpoint yet; continue the run with \`lxmert pretrain --resume\``,
    );
  const config = await loadRunConfig({ saved });
  for (const name of link ? [link] : checkpointLinks) {
    const checkpoint = join(folder, runFiles.checkpoints, name);
    if (!(await isThere(checkpoint))) continue;
    const answers = await readCheckpointAnswers(checkpoint);
    // Checkpoints of older versions have no vocabulary file.
    const vocabFile = (await findVocabulary(checkpoint)) ?? config.data.vocabulary;
    return { config, checkpoint, answers, vocabFile };
  }
  throw new LxmertError(
    'RUN_FOLDER',
    `${folder} has no ${link ?? 'last'} checkpoint; it has checkpoints of the steps ${checkpoints.join(', ')}`,
  );
}

/**
 * Opens the model of a checkpoint for inference or training. The caller must dispose it.
 * @throws BAD_CHECKPOINT, FILE_MISSING, and the errors of creating an engine
 */
export async function openTrained(
  { checkpoint, config }: TrainedRun,
  { device, threads }: { readonly device?: DeviceName | undefined; readonly threads?: number | undefined },
): Promise<Pretrainer> {
  const file = join(checkpoint, checkpointFiles.config);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read', file);
  });
  const { beta1, beta2, eps, weightDecay, maxGradNorm } = config.optimizer;
  const model = new Pretrainer({
    config: fromTransformersJson(text, file),
    adam: { beta1, beta2, epsilon: eps, weightDecay, maxGradNorm },
    engine: { device, threads: threads || undefined },
  });
  try {
    await loadWeights(checkpoint, model);
    return model;
  } catch (error) {
    await model.dispose();
    throw error;
  }
}
