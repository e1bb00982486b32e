import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '../config/modelConfig.js';
import { LxmertError, isLxmertError } from '../errors.js';
import { runFiles } from '../train/index.js';
import { answersBeside } from '../weights/answers.js';
import { configOf } from '../weights/config.js';
import { openWeights, type WeightSource } from '../weights/index.js';
import { kindOf } from '../weights/kinds.js';
import { readAnswerVocabulary } from './answers/index.js';
import type { AnswerLoss } from './objective.js';
import { nlvr2Answers } from './questions/index.js';
import { readTask, type TaskDescription } from './taskFile.js';

/** Facts that a file of weights may not contain. */
export interface TrainedWeightsOptions {
  /**
   * The answer of each row of the answer head: a list, or a file or folder with a list. Default: the list beside the weights
   * (`answers.json`, or a list of the original with as many answers as the head).
   */
  readonly answers?: string | readonly string[] | undefined;
  /** Number of attention heads, for weights without a configuration. Default: hiddenSize / 64. */
  readonly attentionHeads?: number | undefined;
}

/** The heads that are in the weights. */
export interface Heads {
  /** Pictures of one question; absent if there is no answer head. */
  readonly pictures?: 1 | 2 | undefined;
  /** Whether there is a head that predicts whether sentence and picture belong together. */
  readonly match: boolean;
}

/** The opened weights of a trained model, and the known facts about the model. */
export interface TrainedWeights {
  readonly source: WeightSource;
  /** The checkpoint, folder or file. */
  readonly path: string;
  readonly config: ModelConfig;
  readonly heads: Heads;
  /** The answer of each row of the answer head; absent if the answers are not known. */
  readonly answers?: readonly string[] | undefined;
  /** The task for which the model was fine-tuned; absent if it is not known. */
  readonly task?: TaskDescription | undefined;
  /** The loss of the training, which determines how logits become probabilities. */
  readonly loss: AnswerLoss;
}

export const matchHead = 'cls.seq_relationship';
const answerHeadStart = 'answer_head.logit_fc.0.weight';

/**
 * Opens a checkpoint, the best checkpoint of a run, or weights of any form that `openWeights` reads, such as a `.pth` of the
 * original's VQA, GQA or NLVR2, or a transformers folder. Reads only headers. The caller closes `source`.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT naming what does not fit
 */
export async function openTrainedWeights(path: string, options: TrainedWeightsOptions = {}): Promise<TrainedWeights> {
  const where = await checkpointIn(path);
  return asCheckpoint(async () => {
    const source = await openWeights(where);
    try {
      return await describe(source, where, options);
    } catch (error) {
      await source.close();
      throw error;
    }
  });
}

async function describe(
  source: WeightSource,
  path: string,
  { answers: given, attentionHeads }: TrainedWeightsOptions,
): Promise<TrainedWeights> {
  const { config } = await configOf(source, attentionHeads);
  const task = source.isFolder ? await readTask(source.folder) : undefined;
  const heads = headsIn(source, config);
  const kind = kindOf(source, config);
  const listed =
    typeof given === 'string' ? (await readAnswerVocabulary(given)).answers : (given ?? (await answersBeside(source)));
  const answers = listed ?? (kind === 'nlvr2' && config.numQaLabels === 2 ? nlvr2Answers : undefined);
  if (answers && heads.pictures && answers.length !== config.numQaLabels) {
    const list = typeof given === 'string' ? given : given ? 'the list that was given' : 'answers.json';
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${path}: ${list} has ${answers.length} answers, and the answer head has ${config.numQaLabels}`,
    );
  }
  const loss = task?.loss ?? (kind === 'questionAnswering' ? 'soft' : 'classes');
  return { source, path, config, heads, answers, task, loss };
}

/** Returns the best checkpoint of a run, or the last one if there is no best. For other paths it returns the path. */
export async function checkpointIn(path: string): Promise<string> {
  for (const link of ['best', 'last']) {
    const folder = join(path, runFiles.checkpoints, link);
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory()) return folder;
  }
  return path;
}

/** @throws BAD_CHECKPOINT if the width of the answer head fits neither one picture nor two */
function headsIn({ tensors, path }: WeightSource, { hiddenSize }: ModelConfig): Heads {
  const width = tensors.get(answerHeadStart)?.shape[1];
  const match = tensors.has(`${matchHead}.weight`);
  if (width === undefined) return { match };
  if (width === hiddenSize) return { match, pictures: 1 };
  if (width === 2 * hiddenSize) return { match, pictures: 2 };
  throw new LxmertError(
    'BAD_CHECKPOINT',
    `${path}: ${answerHeadStart} has ${width} columns; expected ${hiddenSize}, or ${2 * hiddenSize} for two pictures`,
  );
}

/** Runs `open`, and changes the codes BAD_DATA and BAD_CONFIG of an error to BAD_CHECKPOINT. */
async function asCheckpoint<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (isLxmertError(error) && ['BAD_DATA', 'BAD_CONFIG'].includes(error.code))
      throw new LxmertError('BAD_CHECKPOINT', error.message, { cause: error });
    throw error;
  }
}

/** @throws BAD_CHECKPOINT naming a tensor that the weights lack, or have in another shape */
export function demandTensors(
  { source, path }: TrainedWeights,
  wanted: readonly { readonly name: string; readonly shape: readonly number[] }[],
): void {
  const shapeOf = (name: string) => JSON.stringify(source.tensors.get(name)?.shape ?? 'missing');
  const wrong = wanted.filter(({ name, shape }) => shapeOf(name) !== JSON.stringify(shape));
  if (wrong.length === 0) return;
  const [{ name, shape }] = wrong;
  throw new LxmertError(
    'BAD_CHECKPOINT',
    `${path}: ${wrong.length} tensors are missing or of another shape than its configuration says, such as ${name}: ` +
      `expected ${JSON.stringify(shape)}, found ${shapeOf(name)}`,
  );
}
