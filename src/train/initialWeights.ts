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

/** The parts of the model that were in the initial weights. */
export type InitialCoverage = LoadReport;

/**
 * Checks that initial weights exist in a form that can be read. This check needs neither data nor a model. So an error
 * is reported before data and model are opened, which may take minutes.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT, RUN_FOLDER as `loadInitialWeights`
 */
export async function lookForInitialWeights(path: string): Promise<void> {
  await demandNoRunFolder(path);
  await asCheckpoint(() => lookForWeights(path));
}

/**
 * Loads initial weights of any form (`openWeights`): a checkpoint of lxmert, a folder of transformers or BERT, a `.pth` of
 * the original. Heads that are missing or have another shape keep their values. The encoder must not be missing.
 * Rows of the answer head's last layer are copied by answer string, never by index. If the weights have no list of
 * answers, this layer keeps its values.
 * @param answers the answer of each row of the model's answer head
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

/** Describes for the user what was loaded from initial weights, with further notes. */
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
    left.length > 0 && `random (${left.length}): ${some(left)}`,
    unexpected.length > 0 && `not used (${unexpected.length}): ${some(unexpected)}`,
  ];
  return [parts.filter(Boolean).join('; '), ...notes.map((text) => `${path}: ${text}`)];
}

/** Refuses a run folder, which users may give instead of one of its checkpoints. */
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

/** Runs `load`, and changes the codes BAD_DATA and BAD_CONFIG of an error to BAD_CHECKPOINT. */
async function asCheckpoint<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (isLxmertError(error) && ['BAD_DATA', 'BAD_CONFIG'].includes(error.code))
      throw new LxmertError('BAD_CHECKPOINT', error.message, { cause: error });
    throw error;
  }
}
