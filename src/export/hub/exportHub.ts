import { basename, resolve } from 'node:path';
import { isLxmertError } from '../../errors.js';
import { formatTask } from '../../finetune/taskFile.js';
import { checkpointIn, openTrainedWeights } from '../../finetune/trainedWeights.js';
import type { TrainedWeightsOptions } from '../../finetune/trainedWeights.js';
import { pretrainParameters } from '../../pretrain/objective.js';
import { convertWeights } from '../../weights/index.js';
import type { ConvertReport, FilesOf } from '../../weights/index.js';
import { tokensOf } from '../metadata.js';
import { wordPieceOf } from '../vocabulary.js';
import { modelCard } from './modelCard.js';
import { tokenizerFiles } from './tokenizerFiles.js';
import { trainingOf } from './training.js';

export interface ExportHubOptions extends TrainedWeightsOptions {
  /** The folder to write. It must not exist, or be empty. */
  readonly out: string;
  /** The name of the model in its card. Default: the last part of `out`. */
  readonly name?: string | undefined;
  /** A BERT vocab.txt. Default: that of the checkpoint, or of bert-base-uncased if the checkpoint has none. */
  readonly vocabulary?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ExportedHub {
  readonly out: string;
  readonly kind: ConvertReport['kind'];
  /** Names of the files. */
  readonly files: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Writes a trained model as a folder for model hubs, which transformers and lxmert load: weights, configuration, tokenizer,
 * answers, and a model card. At any instant the folder is either complete or does not exist.
 * @throws as `openModel` and `convertWeights`; BAD_ARGUMENT if `out` exists and is not empty; the signal's reason
 */
export async function exportHub(model: string, options: ExportHubOptions): Promise<ExportedHub> {
  const { out, name = basename(resolve(out)), vocabulary, signal } = options;
  const checkpoint = await checkpointIn(model);
  const weights = await openTrainedWeights(checkpoint, options);
  await weights.source.close();
  const { answers, task, config } = weights;
  const wordPiece = await wordPieceOf(weights, vocabulary);
  const unread: string[] = [];
  const training = await trainingOf(checkpoint).catch((error: unknown) => {
    if (!isLxmertError(error) || error.code !== 'RUN_FOLDER') throw error;
    unread.push(`${model}: the run cannot be read, so the model card does not describe the training`);
    return undefined;
  });
  let files: Readonly<Record<string, string>> = {};
  const filesOf: FilesOf = ({ 'vocab.txt': _, ...standing }, { kind, tensors }) =>
    (files = {
      ...standing,
      'config.json': answers ? withLabels(standing['config.json'], answers) : standing['config.json'],
      ...(answers ? { 'answers.json': `${JSON.stringify(answers)}\n` } : {}),
      ...(task ? { 'task.json': formatTask(task) } : {}),
      ...(wordPiece ? tokenizerFiles(wordPiece, tokensOf(weights)) : {}),
      'README.md': modelCard({
        name,
        kind,
        config,
        answers,
        task,
        training,
        hasTokenizer: wordPiece !== undefined,
        tensors,
      }),
    });
  const { kind, notes } = await convertWeights(checkpoint, out, {
    ...{ parametersOf: pretrainParameters, heads: options.attentionHeads, filesOf, signal },
  });
  return {
    ...{ out, kind, files: ['model.safetensors', ...Object.keys(files)].sort() },
    notes: [
      ...notes,
      ...unread,
      ...(wordPiece
        ? []
        : [`${model}: its vocabulary is not known, so the folder has no tokenizer; give --vocabulary`]),
    ],
  };
}

/** Adds the answers to a `config.json`, where transformers expects the names of classes. */
function withLabels(config: string, answers: readonly string[]): string {
  const id2label = Object.fromEntries(answers.map((answer, row) => [String(row), answer]));
  const label2id = Object.fromEntries(answers.map((answer, row) => [answer, row]));
  const labels = JSON.stringify({ id2label, label2id }, null, 2).slice(1);
  // The text is extended, not written again, because JavaScript would write the number 1.0 as 1, which transformers refuses.
  return `${config.trimEnd().slice(0, -1).trimEnd()},${labels}\n`;
}
