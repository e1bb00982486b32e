import { modelConfigSchema, type ModelConfig } from '../config/modelConfig.js';
import { presets } from '../config/presets.js';

/** Model sizes that are benched. */
export const benchPresets = ['base', 'tiny'] as const;
export type BenchPreset = (typeof benchPresets)[number];

/** Numbers of language, object-relationship and cross-modality layers. */
export type Layers = readonly [language: number, objects: number, cross: number];

/** A preset's model with the paper's data sizes and dropout, which the preset for scenes turns off. */
export function benchConfig(preset: BenchPreset, layers?: Layers): ModelConfig {
  return modelConfigSchema.parse({
    ...presets[preset].model,
    hiddenDropoutProb: 0.1,
    attentionProbsDropoutProb: 0.1,
    ...(layers && { lLayers: layers[0], rLayers: layers[1], xLayers: layers[2] }),
  });
}
