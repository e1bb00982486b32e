export { meanAttention, meanRelevance, scaled } from './attention.js';
export type { CrossAttention, LayerAttention, Relevance, SampleAttention } from './attention.js';
export { rawAttention, rollout } from './baselines.js';
export { relevancy } from './relevancy.js';
export type { OnStep, RelevancyMatrices } from './relevancy.js';
export { explainBy, explanationMethods, type ExplanationMethod } from './methods.js';
export {
  areaUnder,
  keptCounts,
  meanAndError,
  removalOrder,
  removals,
  removedShares,
  type Removal,
} from './perturbation.js';
export { explanationSvg, type ExplanationPicture, type ShadedBox, type ShadedWord } from './svg.js';
