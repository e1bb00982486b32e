export { openPretrainer, openPretrainRun, pretrainParts } from './openParts.js';
export type { DescribedRun, OpenedData, PretrainModel, PretrainParts } from './parts.js';
export { pretrain } from './pretrain.js';
export type { PretrainRequest } from './pretrain.js';
export { lossWeights } from './taskMix.js';
