export { openPretrainer, openPretrainRun, pretrainParts } from './openParts.js';
export { pretrain } from './pretrain.js';
export type { DescribedRun, OpenedData, PretrainParts, PretrainRequest } from './pretrain.js';
export { lossWeights } from './taskMix.js';
