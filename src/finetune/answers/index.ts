export { buildAnswers, mainAnswerOf } from './buildAnswers.js';
export type { BuildAnswersOptions, BuiltAnswers } from './buildAnswers.js';
export { answerVocabulary, readAnswerVocabulary, vocabularyFiles, writeAnswerVocabulary } from './vocabulary.js';
export type { AnswerVocabulary } from './vocabulary.js';
