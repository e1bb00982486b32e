export { reportOnScenes } from './sceneReport.js';
export type { SceneReport, SceneReportOptions, Score } from './sceneReport.js';
export { checkpointLinks, findTrainedRun, openTrained } from './trained.js';
export type { CheckpointLink, TrainedRun } from './trained.js';
