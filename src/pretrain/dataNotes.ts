import type { ExclusionCount } from '../data/samples/exclusion.js';
import type { DataReport, PretrainData } from '../data/samples/pretrainData.js';
import { counted, percent, whole } from '../figures.js';

/** Describes opened data and what was left out: one line for each opened feature file, and one line for all data. */
export function dataNotes(what: string, { name, report }: Pick<PretrainData, 'name' | 'report'>): string[] {
  const { images, sentences, questions } = report;
  return [
    ...report.featureFiles.map(({ path, images: inFile, featureDim, remarks }) =>
      [`${path}: ${counted(inFile, 'image')}, features of ${counted(featureDim, 'float')}`, ...remarks].join('; '),
    ),
    [
      `${what} (${name}): ${counted(images, 'image')}, ${counted(sentences, 'sentence')}, ${whole(questions)} with an answer`,
      ...report.excluded.map(leftOut),
      // A list of images for training contains no images for validation.
      ...report.skipped
        .filter(({ images: taken }) => what === 'train' || taken > 0)
        .map((list) => `${leftOut(list)}; the order of all others stays`),
      ...remarksOf(report),
    ].join('; '),
  ];
}

const leftOut = ({ file, images, sentences, unknownIds }: ExclusionCount): string =>
  `${counted(images, 'image')} and ${counted(sentences, 'sentence')} left out by ${file}` +
  (unknownIds > 0
    ? ` (${whole(unknownIds)} of its ids ${unknownIds === 1 ? 'is' : 'are'} not an image of these data)`
    : '');

/** Remarks about the numbers that are not 0. */
function remarksOf(report: DataReport): string[] {
  const { words, unknownWords } = report;
  const remarks: readonly (readonly [number, string])[] = [
    [report.imagesWithoutSentences, `${counted(report.imagesWithoutSentences, 'image')} without sentences left out`],
    [
      report.sentencesWithoutImage,
      `${counted(report.sentencesWithoutImage, 'sentence')} left out: no features of their image (such as ${report.missingImage})`,
    ],
    [
      report.truncatedSentences,
      `${counted(report.truncatedSentences, 'sentence')} cut to the largest number of tokens`,
    ],
    [
      unknownWords,
      `${whole(unknownWords)} of ${counted(words, 'word')} (${percent(unknownWords / words)}) became [UNK]`,
    ],
    [report.unknownAnswers, `${counted(report.unknownAnswers, 'answer')} left out: not in the answer table`],
    [
      report.unreachableAnswers,
      `${counted(report.unreachableAnswers, 'entry', 'entries')} of the answer table not used: another has the same normal form`,
    ],
  ];
  return remarks.flatMap(([count, text]) => (count > 0 ? [text] : []));
}

/** A line with the number of images that are in both training and validation; undefined if there are none. */
export function overlapNote(train: PretrainData, valid: PretrainData): string | undefined {
  const shown = new Set(shownIds(train));
  const both = shownIds(valid).filter((id) => shown.has(id)).length;
  if (both === 0) return undefined;
  return `overlap: ${counted(both, 'image')} of validation ${both === 1 ? 'is' : 'are'} in training, too`;
}

/** Ids of the images that samples show, each once. */
const shownIds = ({ images, imageIds }: PretrainData): string[] => [...new Set(images)].map((image) => imageIds[image]);
