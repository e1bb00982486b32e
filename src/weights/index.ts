export { listWeights } from './list.js';
export type { ListedTensor } from './list.js';
