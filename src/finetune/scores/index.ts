export { annotatorAccuracy, softLabels } from './annotators.js';
export { statementOf } from './nlvr2.js';
export { createScorer, scoreOf } from './score.js';
export type { MissingPredictions, Score, ScoreOptions, Scorer } from './score.js';
export { scoreFile } from './scoreFile.js';
export type { ScoreFileOptions } from './scoreFile.js';
export { normalizeVqaAnswer } from './vqaAnswer.js';
