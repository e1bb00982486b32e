import type { ResolvedRunConfig } from '../config/runConfig.js';
import { taskNames } from '../config/tasks.js';
import type { TaskName } from '../config/tasks.js';
import { pretrainSource } from '../data/batches/pretrainSource.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import { residentFeatures } from '../data/features/residentFeatures.js';
import { defaultReaders } from '../data/features/tablePieces.js';
import { openPretrainData } from '../data/samples/pretrainData.js';
import { samplesIdentity } from '../data/samples/identity.js';
import { recordOf } from '../records.js';
import { WordPiece } from '../text/wordPiece.js';
import type { RunControls, TrainObserver } from '../train/index.js';
import { dataNotes, overlapNote } from './dataNotes.js';
import type { DescribedRun, OpenedData, PretrainParts } from './parts.js';
import { Pretrainer } from './pretrainer.js';
import { tasksOn } from './taskMix.js';

/** Data from `--data`, the model on the device of `--device`. */
export const pretrainParts: PretrainParts = { openData: openPretrainRun, openModel: openPretrainer };

/** The data that a run names, with the sizes that they give to the model. */
export async function openPretrainRun(
  config: DescribedRun,
  { observer, signal }: RunControls = {},
): Promise<OpenedData> {
  const { data, tasks, batchSize, microBatchSize: partSize, seed } = config;
  const { workers } = data;
  const wordPiece = await WordPiece.load({ vocabFile: data.vocabulary });
  const files = new FeatureFiles();
  const where = {
    ...{ dir: data.folder, wordPiece, files, signal },
    ...{ maxTokens: data.maxTokens, maxMissingShare: data.maxMissingShare, skip: data.excludeLater },
    // Resident features are on the device; a second copy in host memory would be of no use.
    inMemory: data.residentFeatures ? false : undefined,
  };
  const close = () => files.close();
  try {
    const note = (text: string) => observer?.note?.(text);
    const train = await openPretrainData({ ...where, splits: data.train, exclude: data.exclude });
    dataNotes('train', train).forEach(note);
    const { answers } = train;
    const valid = data.valid.length > 0 ? await openPretrainData({ ...where, splits: data.valid, answers }) : undefined;
    if (valid) dataNotes('valid', valid).forEach(note);
    const overlap = valid && overlapNote(train, valid);
    if (overlap !== undefined) note(overlap);
    const resident = data.residentFeatures
      ? residentFeatures(valid ? [train, valid] : [train], { workers: workers ?? defaultReaders() })
      : undefined;
    const [trainSet = train, validSet = valid] = resident?.sets ?? [];
    const switches = (on: readonly TaskName[]) => recordOf(taskNames, (task) => on.includes(task));
    const source = pretrainSource({
      ...{ train: trainSet, valid: validSet, seed, batchSize, partSize, workers },
      rates: { words: data.wordMaskRate, objects: data.objectMaskRate, swapped: data.swapRate },
      tasksOn: (epoch) => switches(tasksOn(tasks, epoch, true)),
      validTasks: switches(tasks.on),
    });
    const facts = {
      vocabSize: wordPiece.vocabSize,
      visualFeatDim: train.featureDim,
      numObjectLabels: train.objectLabels,
      numAttrLabels: train.attributeLabels,
      numQaLabels: answers?.size,
    };
    const { checksum: samples } = await samplesIdentity(train, signal);
    return { facts, source, table: resident?.table, answers: answers?.answers, samples, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The model of a run on its device, not yet initialized. */
export async function openPretrainer(
  { model, optimizer, device, precision, threads }: ResolvedRunConfig,
  observer?: TrainObserver,
): Promise<Pretrainer> {
  const { beta1, beta2, eps, weightDecay, maxGradNorm } = optimizer;
  const pretrainer = new Pretrainer({
    config: model,
    adam: { beta1, beta2, epsilon: eps, weightDecay, maxGradNorm },
    engine: {
      device,
      precision,
      threads,
      onNote: (text) => observer?.note?.(text),
    },
  });
  const { engine } = pretrainer;
  if (device !== 'cpu') observer?.note?.(`device ${engine.description}`);
  if (engine.device === 'cuda' && precision === 'float32')
    observer?.note?.('float32 leaves the tensor cores of the GPU idle; --precision bfloat16 is for speed');
  return pretrainer;
}
