import { toTransformersJson } from '../config/transformers.js';
import type { TrainedWeights } from '../finetune/trainedWeights.js';
import type { WordPiece } from '../text/wordPiece.js';
import type { Precision } from './graph/modelGraph.js';
import type { ExportTask } from './tasks.js';
import { version } from './version.js';

/** Most tokens of a sentence if the training does not say it, as in the original. */
const usualTokens = 20;

/** What is known about an exported model. */
export interface Described {
  readonly weights: TrainedWeights;
  readonly task: ExportTask;
  readonly precision: Precision;
  /** Absent if the vocabulary is not known. */
  readonly wordPiece: WordPiece | undefined;
}

/** Most tokens of a sentence, including [CLS] and [SEP]. */
export const tokensOf = ({ task, config }: Pick<TrainedWeights, 'task' | 'config'>): number =>
  Math.min(task?.maxTokens ?? usualTokens, config.maxPositionEmbeddings);

/**
 * The metadata of an exported graph, texts by key. A program needs nothing else to prepare inputs and to read outputs.
 * docs/export.md describes the keys.
 */
export function metadataOf({ weights, task, precision, wordPiece }: Described): Record<string, string> {
  const { config, answers, loss } = weights;
  const hasAnswers = answers !== undefined && task !== 'encoder';
  return {
    'lxmert.version': version(),
    'lxmert.task': task,
    'lxmert.precision': precision,
    'lxmert.config': toTransformersJson(config),
    'lxmert.features': JSON.stringify({
      width: config.visualFeatDim,
      boxes: 'x0, y0, x1, y1 as shares of the width and the height of the picture',
    }),
    ...(wordPiece ? tokenizerOf(wordPiece, tokensOf(weights)) : {}),
    ...(hasAnswers
      ? { 'lxmert.answers': JSON.stringify(answers), 'lxmert.probabilities': loss === 'soft' ? 'sigmoid' : 'softmax' }
      : {}),
  };
}

const tokenizerOf = (wordPiece: WordPiece, maxTokens: number): Record<string, string> => ({
  'lxmert.tokenizer': JSON.stringify({
    ...{ kind: 'WordPiece', lowercase: true, maxTokens },
    pad: wordPiece.padId,
    unk: wordPiece.unkId,
    cls: wordPiece.clsId,
    sep: wordPiece.sepId,
    mask: wordPiece.maskId,
  }),
  'lxmert.vocabulary': `${wordPiece.pieces.join('\n')}\n`,
});
