export { meanAttention, meanRelevance, scaled } from './attention.js';
export type { CrossAttention, LayerAttention, Relevance, SampleAttention } from './attention.js';
export { rawAttention, rollout } from './baselines.js';
export { relevancy } from './relevancy.js';
export type { OnStep, RelevancyMatrices } from './relevancy.js';
