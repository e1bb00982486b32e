export { exportOnnx } from './exportOnnx.js';
export type { ExportedOnnx, ExportOnnxOptions } from './exportOnnx.js';
export { exportHub } from './hub/exportHub.js';
export type { ExportedHub, ExportHubOptions } from './hub/exportHub.js';
export { exportTasks } from './tasks.js';
export type { ExportTask } from './tasks.js';
