export { checkpointFiles, findVocabulary, hinting, loadWeights, readCheckpointAnswers } from './checkpoint.js';
export { checkpointName } from './checkpointStore.js';
export type { Coverage } from './coverage.js';
export { describeInitial, loadInitialWeights, lookForInitialWeights } from './initialWeights.js';
export type { InitialCoverage } from './initialWeights.js';
export { lastValidation, readMetrics } from './metrics.js';
export type { MetricsRecord, StepRecord, ValidRecord } from './metrics.js';
export type { RunStart, TrainObserver } from './observer.js';
export { trainInFolder } from './run.js';
export { batchShare, demandSameFacts, gatherTurns, inStep, inTurns } from './ranks.js';
export type { Facts, SaveRequest, TrainRanks } from './ranks.js';
export { demandSameAnswers } from './sameAnswers.js';
export type { RunControls } from './run.js';
export { lookIntoRun, runFiles } from './runFolder.js';
export type { RunFolder, RunPlace } from './runFolder.js';
export { learningRate, totalSteps } from './schedule.js';
export type {
  StateKind,
  StoredModel,
  Trainable,
  Training,
  TrainSettings,
  TrainSource,
  Validation,
  ValidationControls,
} from './trainable.js';
export { train } from './trainer.js';
export type { TrainerState } from './trainerState.js';
export type { TrainOptions, TrainSummary } from './trainOptions.js';
