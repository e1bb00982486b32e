import { LxmertError } from '../errors.js';
import { vocabularyIn } from '../finetune/taskFile.js';
import type { TrainedWeights } from '../finetune/trainedWeights.js';
import { WordPiece } from '../text/wordPiece.js';

/**
 * The tokenizer of a model: with the given vocabulary, with that beside the weights, or with that of bert-base-uncased.
 * @returns undefined if nothing names a vocabulary, and the model has fewer words than bert-base-uncased
 * @throws BAD_CHECKPOINT if the model has fewer words than its vocabulary
 */
export async function wordPieceOf(
  { source, config, path }: TrainedWeights,
  given: string | undefined,
): Promise<WordPiece | undefined> {
  const vocabFile = given ?? (source.isFolder ? vocabularyIn(source.folder) : undefined);
  const wordPiece = await WordPiece.load({ vocabFile });
  if (wordPiece.vocabSize <= config.vocabSize) return wordPiece;
  if (vocabFile === undefined) return undefined;
  throw new LxmertError(
    'BAD_CHECKPOINT',
    `${path}: it has ${config.vocabSize} words, and ${vocabFile} has ${wordPiece.vocabSize}; give its vocabulary with --vocabulary`,
  );
}
