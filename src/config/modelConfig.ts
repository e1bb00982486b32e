import { z } from 'zod';

const count = z.number().int().min(1);
/** A probability of dropout. The device stores it as float32, in which 0.99999999 would become 1. */
const probability = z
  .number()
  .min(0)
  .lt(1)
  .refine((value) => Math.fround(value) < 1, 'must stay below 1 in float32');

/**
 * The configuration of an LXMERT (Tan & Bansal 2019, section 2). The defaults are the sizes of section 4.1.
 * The keys are transformers' `LxmertConfig` in camel case.
 */
export const modelConfigSchema = z
  .strictObject({
    vocabSize: count.default(30522),
    hiddenSize: count.default(768).describe('width of the hidden states'),
    numAttentionHeads: count.default(12).describe('attention heads; they divide hiddenSize'),
    intermediateSize: count.default(3072).describe('width of the feed-forward layers'),
    lLayers: z.number().int().min(0).default(9).describe('language layers'),
    rLayers: z.number().int().min(0).default(5).describe('object-relationship layers'),
    xLayers: count.default(5).describe('cross-modality layers'),
    maxPositionEmbeddings: count.default(512).describe('rows of the position table'),
    typeVocabSize: count.default(2).describe('rows of the token-type table'),
    /** Floats of one RoI feature, and of one box (x0, y0, x1, y1 as shares of the picture). */
    visualFeatDim: count.default(2048),
    visualPosDim: z.literal(4).default(4).describe('floats of a box; always 4'),
    numObjectLabels: count.default(1600),
    numAttrLabels: count.default(400),
    numQaLabels: count.default(9500),
    hiddenDropoutProb: probability.default(0.1).describe('dropout of hidden states'),
    attentionProbsDropoutProb: probability.default(0.1).describe('dropout of attention probabilities'),
    visualLossNormalizer: z
      .number()
      .positive()
      .default(1 / 0.15)
      .describe('factor of the three object losses: 1 over the share of objects that are masked'),
    initializerRange: z.number().positive().default(0.02).describe('standard deviation of the initial weights'),
  })
  .refine((c) => c.hiddenSize % c.numAttentionHeads === 0, {
    error: ({ input }) => {
      const { hiddenSize, numAttentionHeads } = input as { hiddenSize: number; numAttentionHeads: number };
      return `hiddenSize (${hiddenSize}) must be a multiple of numAttentionHeads (${numAttentionHeads})`;
    },
    path: ['numAttentionHeads'],
  });

export type ModelConfig = Readonly<z.infer<typeof modelConfigSchema>>;
