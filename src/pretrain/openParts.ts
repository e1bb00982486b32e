import { join } from 'node:path';
import { homeFolder } from '../config/paths.js';
import type { ResolvedRunConfig } from '../config/runConfig.js';
import { taskNames } from '../config/tasks.js';
import type { TaskName } from '../config/tasks.js';
import { pretrainSource } from '../data/batches/pretrainSource.js';
import { FeatureFiles } from '../data/features/openFeatures.js';
import { residentFeatures } from '../data/features/residentFeatures.js';
import { defaultReaders } from '../data/features/tablePieces.js';
import { openPretrainData } from '../data/samples/pretrainData.js';
import { samplesDifference, samplesIdentity } from '../data/samples/identity.js';
import { recordOf } from '../records.js';
import { describedModel, noteDevice } from '../step/describedModel.js';
import { WordPiece } from '../text/wordPiece.js';
import { batchShare } from '../train/index.js';
import type { RunControls, TrainObserver } from '../train/index.js';
import { dataNotes, overlapNote } from './dataNotes.js';
import type { DescribedRun, OpenedData, PretrainParts } from './parts.js';
import { Pretrainer } from './pretrainer.js';
import { tasksOn } from './taskMix.js';
import { demandClasses, demandTwoImages, findUnlabelled, largestOf } from './unlabelled.js';

/** Opens the data of `--data`, and the model on the device of `--device`. */
export const pretrainParts: PretrainParts = { openData: openPretrainRun, openModel: openPretrainer };

/**
 * Opens the data that a run names, and checks everything that could fail later.
 * @throws BAD_DATA, FILE_MISSING, FILE_ACCESS; the signal's reason
 */
export async function openPretrainRun(
  config: DescribedRun,
  { observer, signal, ranks }: RunControls = {},
): Promise<OpenedData> {
  const { data, tasks, batchSize, microBatchSize: partSize, seed } = config;
  const { workers } = data;
  const wordPiece = await WordPiece.load({ vocabFile: data.vocabulary });
  const files = new FeatureFiles({ verifyReads: data.verifyReads });
  const folder = cacheFolder();
  const where = {
    ...{ dir: data.folder, wordPiece, files, signal },
    ...{ maxTokens: data.maxTokens, maxMissingShare: data.maxMissingShare, skip: data.excludeLater },
    cache: folder === undefined ? undefined : { folder, onNote: (text: string) => observer?.note?.(text) },
    // Resident features are on the device, so a second copy in host memory would not be used.
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
    const sets = valid ? [train, valid] : [train];
    sets.forEach((set) => demandTwoImages(set, config));
    sets.forEach((set) => demandClasses(set, config));
    const unlabelled = await findUnlabelled(train, config);
    const largest = largestOf(sets);
    const resident = data.residentFeatures
      ? residentFeatures(sets, { workers: workers ?? defaultReaders() })
      : undefined;
    const [trainSet = train, validSet = valid] = resident?.sets ?? [];
    const switches = (on: readonly TaskName[]) => recordOf(taskNames, (task) => on.includes(task));
    const source = pretrainSource({
      ...{ train: trainSet, valid: validSet, seed, batchSize, partSize, workers },
      bucketBatches: data.bucketBatches,
      share: batchShare(config, ranks),
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
    const identity = await samplesIdentity(train, signal);
    const vocabulary = Array.from({ length: wordPiece.vocabSize }, (_, id) => wordPiece.token(id));
    return {
      ...{ facts, source, table: resident?.table, answers: answers?.answers, samples: identity.checksum },
      samplesDifference: (saved) => samplesDifference(saved, identity),
      coverage: sets.map(({ name, report }) => ({
        ...{ name, sentences: report.sentences, withoutImage: report.sentencesWithoutImage },
        ...{ images: report.images, withoutSentences: report.imagesWithoutSentences },
      })),
      ...{ vocabulary, unlabelled, largest, close },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The folder for the WordPieces of large files: LXMERT_CACHE, else the user's cache folder. It is undefined for a user
 * without a home folder; in this case there is no cache.
 */
function cacheFolder(): string | undefined {
  const { LXMERT_CACHE: own, XDG_CACHE_HOME: caches } = process.env;
  if (own) return own;
  if (caches) return join(caches, 'lxmert');
  const home = homeFolder();
  return home && join(home, '.cache', 'lxmert');
}

/** The model of a run on its device, not yet initialized. */
export async function openPretrainer(config: ResolvedRunConfig, observer?: TrainObserver): Promise<Pretrainer> {
  const note = observer?.note;
  const pretrainer = new Pretrainer(describedModel(config, note));
  noteDevice(pretrainer.engine, config, note);
  return pretrainer;
}
