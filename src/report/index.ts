export { reportOnScenes } from './sceneReport.js';
export type { SceneReport, SceneReportOptions, Score } from './sceneReport.js';
export { checkpointLinks } from './trained.js';
