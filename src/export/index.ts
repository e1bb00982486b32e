export { exportOnnx } from './exportOnnx.js';
export type { ExportedOnnx, ExportOnnxOptions } from './exportOnnx.js';
export { exportTasks } from './tasks.js';
export type { ExportTask } from './tasks.js';
