export { finetune } from './finetune.js';
export type { FinetuneRequest } from './finetune.js';
export { mapsOf, openModel } from './openModel.js';
export type {
  AnswerOptions,
  AttentionMap,
  Encoded,
  ExplainOptions,
  Explanation,
  OpenedModel,
  OpenModelOptions,
  Picture,
  PictureQuestion,
} from './openModel.js';
export { evaluate, predict } from './predict.js';
export type { Evaluation, Predicted, PredictRequest } from './predict.js';
export type { RankedAnswer } from './predictions/index.js';
export { explainQuestions, type ExplainedQuestion, type ExplainRequest } from './explainQuestions.js';
export { perturbationTest, removedParts, testedMethods } from './perturbationTest.js';
export type { PerturbationCurve, PerturbationReport, PerturbationRequest } from './perturbationTest.js';
