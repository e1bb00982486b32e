export { pretrain } from './pretrain.js';
export type { PretrainParts, PretrainRequest } from './pretrain.js';
export { pretrainParts } from './openParts.js';
export { lastValidation, readMetrics } from './metrics.js';
export type { MetricsRecord, StepRecord, ValidRecord } from './metrics.js';
export type { RunStart, TrainObserver } from './observer.js';
export type { TrainSummary } from './trainer.js';
export { loadInitialWeights, readCheckpointAnswers } from './checkpoint.js';
export type { Coverage } from './checkpoint.js';
