/** A part of a run's description, as a file or the flags give it. */
export type ConfigTree = { readonly [key: string]: unknown };

/** Starting points of a run; what they leave out has the defaults of `runConfigSchema`. */
export const presets = {
  /** LXMERT as published, trained as the public code does: QA throughout with weight 1. */
  base: {
    model: { lLayers: 9, rLayers: 5, xLayers: 5 },
    optimizer: { lr: 1e-4 },
    batchSize: 256,
    epochs: 20,
  },
  /** The paper's own schedule (section 3.3): QA only in the last 10 of 20 epochs, then with weight 2; its splits. */
  paper: {
    model: { lLayers: 9, rLayers: 5, xLayers: 5 },
    data: { train: ['mscoco_train', 'mscoco_nominival', 'vgnococo'], valid: ['mscoco_minival'] },
    tasks: { schedule: { qa: { from: 10 } }, weights: { qa: 2 } },
    optimizer: { lr: 1e-4 },
    batchSize: 256,
    epochs: 20,
  },
  /** Learns the synthetic scenes on a laptop in minutes. */
  tiny: {
    model: {
      hiddenSize: 128,
      numAttentionHeads: 4,
      intermediateSize: 256,
      lLayers: 1,
      rLayers: 1,
      xLayers: 1,
      maxPositionEmbeddings: 64,
      hiddenDropoutProb: 0,
      attentionProbsDropoutProb: 0,
      // 0.02 learns too slowly at this width.
      initializerRange: 0.1,
    },
    tasks: { weights: { matched: 2, qa: 2 } },
    // At 2e-3 this width collapses to guessing: BertAdam has no bias correction, so its first steps are the largest.
    optimizer: { lr: 5e-4 },
    batchSize: 64,
    maxSteps: 4000,
    saveEvery: 1000,
    validEvery: 1000,
  },
} as const satisfies Record<string, ConfigTree>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as PresetName[];
