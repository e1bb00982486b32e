/** A part of a run's description, from a file or from flags. */
export type ConfigTree = { readonly [key: string]: unknown };

/** Presets of pre-training. All other settings have the defaults of `runConfigSchema`. */
export const presets = {
  /** The published model, trained as the public code does: QA is on in all epochs, with weight 1. */
  base: {
    model: { lLayers: 9, rLayers: 5, xLayers: 5 },
    optimizer: { lr: 1e-4 },
    batchSize: 256,
    epochs: 20,
  },
  /** The paper's schedule (section 3.3) and splits: QA is on only in the last 10 of 20 epochs, with weight 2. */
  paper: {
    model: { lLayers: 9, rLayers: 5, xLayers: 5 },
    data: { train: ['mscoco_train', 'mscoco_nominival', 'vgnococo'], valid: ['mscoco_minival'] },
    tasks: { schedule: { qa: { from: 10 } }, weights: { qa: 2 } },
    optimizer: { lr: 1e-4 },
    batchSize: 256,
    epochs: 20,
  },
  /** Learns the synthetic scenes on a laptop in minutes; docs/scenes.md says how these values were found. */
  tiny: {
    model: {
      hiddenSize: 96,
      numAttentionHeads: 4,
      intermediateSize: 192,
      lLayers: 1,
      rLayers: 1,
      xLayers: 2,
      maxPositionEmbeddings: 64,
      hiddenDropoutProb: 0,
      attentionProbsDropoutProb: 0,
      // With 0.02 a model of this width learns too slowly.
      initializerRange: 0.1,
    },
    // Pictures have about three objects. With the paper's rate, the object that a sentence is about would often be masked.
    data: { wordMaskRate: 0.15, objectMaskRate: 0.05, swapRate: 0.35 },
    // The object losses have a factor of 6.67 (1 / 0.15). These weights cancel it. Otherwise the object losses would be
    // nearly all of the clipped gradient. Words have the largest weight, because a model that can answer questions learns
    // words late.
    tasks: { weights: { maskedLm: 4, matched: 2, qa: 3, obj: 0.15, attr: 0.15, feat: 0.15 } },
    // BertAdam has no bias correction, so its first steps are too large, for as long as 1 / (1 - beta2) steps.
    optimizer: { lr: 1e-3, beta2: 0.98 },
    batchSize: 64,
    maxSteps: 3000,
    saveEvery: 1000,
    validEvery: 1000,
  },
} as const satisfies Record<string, ConfigTree>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as PresetName[];
