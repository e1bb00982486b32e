export { detectTask } from './detect.js';
export { nlvr2Answers, questionTasks } from './question.js';
export type { AnswerScore, Question, QuestionTask } from './question.js';
export { fileNames, readQuestions } from './readQuestions.js';
export type { QuestionCount, ReadQuestionsOptions } from './readQuestions.js';
