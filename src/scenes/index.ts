export { writeScenes } from './write.js';
export type { ScenesSummary, WriteScenesOptions } from './write.js';
export { minValidImages, sceneDefaults, validImages } from './options.js';
export type { SceneParameters } from './options.js';
export { questionType, questionTypes } from './questions.js';
export type { QuestionType } from './questions.js';
export { languageOnlyMajority } from './balance.js';
export type { AnsweredQuestion, LanguageOnlyMajority } from './balance.js';
