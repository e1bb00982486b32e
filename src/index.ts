/**
 * The public API; docs/api.md has examples. Anything that is not exported here may change without notice.
 *
 * An error that a caller can cause is an `LxmertError`. Its `code` does not change from version to version.
 */
export { LxmertError, isLxmertError, type ErrorCode } from './errors.js';

// The description of a run or a model.
export { loadRunConfig, type ConfigSources } from './config/loadConfig.js';
export { modelConfigSchema, type ModelConfig } from './config/modelConfig.js';
export { presetNames, presets, type PresetName } from './config/presets.js';
export type { ResolvedRunConfig, RunConfig } from './config/runConfig.js';
export { fromTransformersJson, toTransformersJson } from './config/transformers.js';

// The model's input: words and objects.
export { WordPiece, type WordPieceOptions } from './text/wordPiece.js';
export { packSamples, type Sample } from './data/batches/packSamples.js';
export type { Batch } from './data/batches/batch.js';

// The model with its heads, losses and optimizer on one device.
export { Pretrainer, type PretrainerOptions } from './pretrain/pretrainer.js';
export { lossNames, plainSum } from './pretrain/losses.js';
export type { LossName, LossWeights, StepOptions, StepResult, Tallies, Tally } from './pretrain/losses.js';
export type { PretrainOutputs } from './pretrain/objective.js';
export type { AdamOptions, EngineOptions, Tensor } from './engine/index.js';

// A whole run, from a description to a run folder, and readers of that folder.
export { pretrain, pretrainParts } from './pretrain/index.js';
export type { DescribedRun, OpenedData, PretrainParts, PretrainRequest } from './pretrain/index.js';
export { loadInitialWeights, loadWeights, readMetrics } from './train/index.js';
export type { MetricsRecord, SaveRequest, TrainObserver, TrainSummary } from './train/index.js';
export type { BatchPosition, PositionedBatch } from './data/batches/batching.js';
export type { PretrainSource } from './data/batches/pretrainSource.js';
export type { Question, QuestionBatch } from './data/batches/questions.js';
export { findTrainedRun, openTrained, type TrainedRun } from './report/index.js';

// Fine-tuning on questions, and inference with the result.
export { evaluate, finetune, openModel, predict } from './finetune/index.js';
export type {
  AnswerOptions,
  AttentionMap,
  Encoded,
  Evaluation,
  ExplainOptions,
  Explanation,
  FinetuneRequest,
  OpenedModel,
  OpenModelOptions,
  Picture,
  PictureQuestion,
  Predicted,
  PredictRequest,
  RankedAnswer,
} from './finetune/index.js';

// A trained model for other programs.
export { exportHub, exportOnnx } from './export/index.js';
export type { ExportedHub, ExportedOnnx, ExportHubOptions, ExportOnnxOptions, ExportTask } from './export/index.js';

// A server for a model, with a page.
export { serve, type Served, type ServeOptions } from './serve/index.js';

// Files.
export { SafetensorsFile, writeSafetensors, type TensorSpec } from './formats/safetensors.js';
export { writeScenes } from './scenes/index.js';
