import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '../config/modelConfig.js';
import { LxmertError, isLxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { loadWeights, lookForWeights, some } from '../weights/index.js';
import type { LoadReport } from '../weights/index.js';
import { listCheckpoints } from './checkpointStore.js';
import type { StoredModel } from './trainable.js';
import { runFiles } from './runFolder.js';
import { percent } from '../figures.js';

/** What initial weights had of the model. */
export type InitialCoverage = LoadReport;

/**
 * What can be told of initial weights before there are data and a model, which may take minutes: that there are some,
 * in a form that is read.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT, RUN_FOLDER as `loadInitialWeights`
 */
export async function lookForInitialWeights(path: string): Promise<void> {
  await demandNoRunFolder(path);
  await asCheckpoint(() => lookForWeights(path));
}

/**
 * Takes initial weights of any form (`openWeights`): one of our checkpoints, a folder of transformers' or BERT's, a
 * `.pth` of the original's. Heads that are missing or of another shape keep their values; the encoder must be there.
 * The answer head's last layer is carried by answer string, never by index: weights without a list of answers leave it
 * as drawn.
 * @param answers of the model, by row
 * @param allowMissing encoder weights that may be missing: names, or patterns with `*`
 * @throws BAD_CHECKPOINT when the weights are damaged, or those of the encoder are missing or of other shapes;
 *   FILE_MISSING, FILE_ACCESS; RUN_FOLDER for a run instead of one of its checkpoints; the signal's reason
 */
export async function loadInitialWeights(
  path: string,
  model: StoredModel & { readonly config: Pick<ModelConfig, 'numAttentionHeads'> },
  answers?: readonly string[],
  signal?: AbortSignal,
  allowMissing?: readonly string[],
): Promise<InitialCoverage> {
  await demandNoRunFolder(path);
  return asCheckpoint(() =>
    loadWeights(
      path,
      {
        parameters: model.parameters,
        numAttentionHeads: model.config.numAttentionHeads,
        write: (name, values) => model.write('parameter', name, values),
      },
      { answers, signal, allowMissing },
    ),
  );
}

/** What was taken of initial weights, in words, and what else there is to say about them. */
export function describeInitial(
  path: string,
  { parameters }: Pick<StoredModel, 'parameters'>,
  { loaded, missing, misshapen, unexpected, answers, groups, notes }: InitialCoverage,
): string[] {
  const left = [...missing, ...misshapen];
  const shares = groups.flatMap(({ group, share }) => (share < 1 ? [`${group} ${percent(share)}`] : []));
  const parts = [
    `initial weights from ${path}: ${loaded} of ${parameters.length} tensors`,
    answers && `rows of ${answers.carried} of ${answers.of} answers`,
    shares.length > 0 && `found only in part: ${shares.join(', ')} of the parameters`,
    left.length > 0 && `left as drawn (${left.length}): ${some(left)}`,
    unexpected.length > 0 && `not used (${unexpected.length}): ${some(unexpected)}`,
  ];
  return [parts.filter(Boolean).join('; '), ...notes.map((text) => `${path}: ${text}`)];
}

/** A run is easily given for one of its checkpoints. */
async function demandNoRunFolder(path: string): Promise<void> {
  const status = await stat(path).catch((error: unknown) => {
    throw fileError(error, 'read', path);
  });
  if (!status.isDirectory()) return;
  const checkpoints = join(path, runFiles.checkpoints);
  if ((await listCheckpoints(checkpoints)).length > 0)
    throw new LxmertError(
      'RUN_FOLDER',
      `${path} is a run; initial weights come from one of its checkpoints, such as ${join(checkpoints, 'last')}`,
    );
}

/** Faulty contents and configurations make a faulty checkpoint, whatever form it has. */
async function asCheckpoint<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (isLxmertError(error) && ['BAD_DATA', 'BAD_CONFIG'].includes(error.code))
      throw new LxmertError('BAD_CHECKPOINT', error.message, { cause: error });
    throw error;
  }
}
