import type { Relevance, SampleAttention } from './attention.js';
import { rawAttention, rollout } from './baselines.js';
import { relevancy } from './relevancy.js';

/** The methods that compute how much each word and each box counts for an answer. */
export const explanationMethods = ['relevancy', 'attention', 'rollout'] as const;
export type ExplanationMethod = (typeof explanationMethods)[number];

export const explainBy: Readonly<Record<ExplanationMethod, (sample: SampleAttention) => Relevance>> = {
  relevancy: (sample) => relevancy(sample),
  attention: rawAttention,
  rollout,
};
