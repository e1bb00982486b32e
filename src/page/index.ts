export { comparisonPage, runPage } from './runPage.js';
export type { RunPageOptions } from './runPage.js';
