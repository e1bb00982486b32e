export { readPredictions } from './readPredictions.js';
export type { Predictions } from './readPredictions.js';
export { writePredictions } from './writePredictions.js';
export type { Prediction, RankedAnswer } from './writePredictions.js';
