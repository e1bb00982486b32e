import type { RunConfig } from '../config/runConfig.js';
import type { LossName } from '../config/tasks.js';
import { allocateObjectRows } from '../data/features/featureSource.js';
import type { PretrainData } from '../data/samples/pretrainData.js';
import { LxmertError } from '../errors.js';
import type { LargestSample } from './parts.js';

/** The number of images that are read to find a confidence above 0. The first image usually has one. */
const mostImages = 256;

/**
 * The losses for which the training data cannot have a label, each with the reason. Class and attribute losses count an
 * object by the detector's confidence, so they have no label if all confidences are 0.
 */
export async function findUnlabelled(
  train: PretrainData,
  { data, tasks }: Pick<RunConfig, 'data' | 'tasks'>,
): Promise<Readonly<Partial<Record<LossName, string>>>> {
  const { size, tokens, report, answers } = train;
  const words = tokens.length - 2 * size;
  const confidences = tasks.on.includes('objects') ? await readConfidences(train) : undefined;
  const noConfidence = (what: string, found: boolean | undefined) =>
    found === false ? `the confidences of all ${what} are 0 in ${train.features.path}` : undefined;
  return {
    maskedLm:
      data.wordMaskRate === 0
        ? 'no word is masked (data.wordMaskRate is 0)'
        : words === 0
          ? 'no sentence of the training data has a word'
          : undefined,
    obj: noConfidence('object classes', confidences?.obj),
    attr: noConfidence('attributes', confidences?.attr),
    feat: data.objectMaskRate === 0 ? 'no object is masked (data.objectMaskRate is 0)' : undefined,
    qa:
      answers && report.questions === 0
        ? 'no question of the training data has an answer of the answer table'
        : undefined,
  };
}

/** Whether any confidence of a class, or of an attribute, is above 0 in the first images with a sentence. */
async function readConfidences({ features, images }: PretrainData): Promise<{ obj: boolean; attr: boolean }> {
  const found = { obj: false, attr: false };
  for (const image of [...new Set(images.subarray(0, 64 * mostImages))].slice(0, mostImages)) {
    const rows = allocateObjectRows(features.numObjects(image), features.featureDim);
    await features.read(image, rows, 0);
    found.obj ||= rows.objectConfs.some((value) => value > 0);
    found.attr ||= rows.attrConfs.some((value) => value > 0);
    if (found.obj && found.attr) break;
  }
  return found;
}

/** @throws BAD_DATA when a loss needs classes or confidences that a feature store does not have for all images */
export function demandClasses(
  { lacks, features }: Pick<PretrainData, 'lacks' | 'features'>,
  { tasks }: Pick<RunConfig, 'tasks'>,
): void {
  if (!tasks.on.includes('objects')) return;
  const missing = [
    ...(lacks?.objectClasses && tasks.visualLosses.includes('obj') ? (['obj'] as const) : []),
    ...(lacks?.attributeClasses && tasks.visualLosses.includes('attr') ? (['attr'] as const) : []),
  ];
  if (missing.length === 0) return;
  const left = tasks.visualLosses.filter((loss) => !(missing as readonly string[]).includes(loss));
  throw new LxmertError(
    'BAD_DATA',
    `${features.path}: some images have no ${missing.map((loss) => (loss === 'obj' ? 'object' : 'attribute')).join(' and no ')} ` +
      `classes with confidences, which the loss${missing.length > 1 ? 'es' : ''} ${missing.join(' and ')} need. ` +
      `Leave ${missing.length > 1 ? 'them' : 'it'} out: ` +
      (left.length > 0 ? `--visual-losses ${left.join(',')}` : "no task 'objects'"),
  );
}

/** @throws BAD_DATA if matching swaps sentences, but all sentences belong to one image */
export function demandTwoImages(
  { name, size, report }: PretrainData,
  { data, tasks }: Pick<RunConfig, 'data' | 'tasks'>,
): void {
  if (!tasks.on.includes('matched') || data.swapRate === 0 || report.images > 1) return;
  throw new LxmertError(
    'BAD_DATA',
    `${name}: all ${size} sentences belong to one image; matching needs sentences of at least two images. Leave the task 'matched' out, ` +
      'or use other data',
  );
}

/** The longest sentence and the image with the most objects. */
export function largestOf(sets: readonly PretrainData[]): Readonly<Record<'tokens' | 'objects', LargestSample>> {
  const tokens = { count: 0, where: '' };
  const objects = { count: 0, where: '' };
  for (const set of sets) {
    const { size, tokenOffsets, images, features, imageIds } = set;
    for (let sample = 0; sample < size; sample++) {
      const image = images[sample];
      const length = tokenOffsets[sample + 1] - tokenOffsets[sample];
      if (length > tokens.count) Object.assign(tokens, { count: length, where: `sentence ${set.sampleId(sample)}` });
      const count = features.numObjects(image);
      if (count > objects.count)
        Object.assign(objects, { count, where: `${features.placeOf(image)}: image ${imageIds[image]}` });
    }
  }
  return { tokens, objects };
}
