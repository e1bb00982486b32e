import { taskNames } from '../config/runConfig.js';
import type { ResolvedRunConfig, TaskName } from '../config/runConfig.js';
import { openPretrainData } from '../data/samples/pretrainData.js';
import type { PretrainData } from '../data/samples/pretrainData.js';
import { FeatureFiles } from '../data/features/featureFiles.js';
import { pretrainSource } from '../data/batches/pretrainSource.js';
import { residentFeatures } from '../data/features/residentFeatures.js';
import { defaultReaders } from '../data/features/tablePieces.js';
import { samplesChecksum } from '../data/samples/sampleStore.js';
import { Pretrainer } from './pretrainer.js';
import { WordPiece } from '../text/wordPiece.js';
import type { TrainObserver } from '../train/observer.js';
import type { DescribedRun, OpenedData, PretrainParts, RunControls } from './pretrain.js';
import { scheduledSource } from './scheduledSource.js';
import { mixChanges, tasksOn } from './taskMix.js';

/** Data from `--data`, the model on the device of `--device`. */
export const pretrainParts: PretrainParts = { openData: openPretrainRun, openModel: openPretrainer };

/** The data that a run names, with what they say about the model's sizes. */
export async function openPretrainRun(
  config: DescribedRun,
  { observer, signal }: RunControls = {},
): Promise<OpenedData> {
  const { data, tasks, batchSize, microBatchSize, seed } = config;
  const wordPiece = await WordPiece.load(data.vocabulary === undefined ? {} : { vocabFile: data.vocabulary });
  const files = new FeatureFiles();
  const where = {
    ...{ dir: data.folder, wordPiece, files, signal },
    maxTokens: data.maxTokens,
    maxMissingShare: data.maxMissingShare,
    // On the device it is once, and nowhere else.
    ...(data.residentFeatures && { inMemory: false }),
  };
  const close = () => files.close();
  try {
    const train = await openPretrainData({ ...where, splits: data.train, exclude: data.exclude });
    let valid: PretrainData | undefined;
    tell('train', train, observer);
    if (data.valid.length > 0) {
      valid = await openPretrainData({
        ...where,
        splits: data.valid,
        ...(train.answers ? { answers: train.answers } : {}),
      });
      tell('valid', valid, observer);
    }
    const resident = data.residentFeatures
      ? residentFeatures(valid ? [train, valid] : [train], { workers: data.workers ?? defaultReaders() })
      : undefined;
    const [trainSet = train, validSet = valid] = resident?.sets ?? [];
    const open = (on: readonly TaskName[]) =>
      pretrainSource({
        train: trainSet,
        ...(validSet ? { valid: validSet } : {}),
        seed,
        batchSize,
        ...(data.workers === undefined ? {} : { workers: data.workers }),
        ...(microBatchSize === undefined ? {} : { partSize: microBatchSize }),
        masking: {
          tasks: Object.fromEntries(taskNames.map((task) => [task, on.includes(task)])),
          rates: { words: data.wordMaskRate, objects: data.objectMaskRate, swapped: data.swapRate },
        },
      });
    const source = scheduledSource({
      open,
      all: tasks.on,
      tasksOn: (epoch) => tasksOn(tasks, epoch, true),
      changes: mixChanges(tasks),
    });
    const facts = {
      vocabSize: wordPiece.vocabSize,
      visualFeatDim: train.featureDim,
      numObjectLabels: train.objectLabels,
      numAttrLabels: train.attributeLabels,
      ...(train.answers ? { numQaLabels: train.answers.size } : {}),
    };
    return {
      facts,
      source,
      ...(resident && { table: resident.table }),
      answers: train.answers?.answers,
      samples: samplesChecksum(train),
      close,
    };
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
      ...(threads === undefined ? {} : { threads }),
      onNote: (text) => observer?.note?.(text),
    },
  });
  const { engine } = pretrainer;
  if (device !== 'cpu') observer?.note?.(`device ${engine.description}`);
  if (engine.device === 'cuda' && precision === 'float32')
    observer?.note?.('float32 leaves the tensor cores of the GPU idle; --precision bfloat16 is for speed');
  return pretrainer;
}

/** What was found in the data, and what was left out. */
function tell(what: string, { name, report }: PretrainData, observer: TrainObserver | undefined): void {
  const number = (value: number) => value.toLocaleString('en-US');
  const { sentencesWithoutImage: lost, missingImage, truncatedSentences: cut, unknownAnswers: unknown } = report;
  const remarks = [
    ...report.excluded.map(
      ({ file, images, sentences, unknownIds }) =>
        `${number(images)} images and ${number(sentences)} sentences left out by ${file}` +
        (unknownIds > 0 ? ` (${number(unknownIds)} of its ids are no image here)` : ''),
    ),
    ...(report.imagesWithoutSentences > 0
      ? [`${number(report.imagesWithoutSentences)} images without sentences left out`]
      : []),
    ...(lost > 0 ? [`${number(lost)} sentences left out: no features of their image (such as ${missingImage})`] : []),
    ...(cut > 0 ? [`${number(cut)} sentences cut to the most tokens`] : []),
    ...(unknown > 0 ? [`${number(unknown)} answers left out: not in the answer table`] : []),
  ];
  observer?.note?.(
    [
      `${what} (${name}): ${number(report.images)} images, ${number(report.sentences)} sentences, ${number(report.questions)} with an answer`,
      ...remarks,
    ].join('; '),
  );
}
