import { modelConfigSchema, type ModelConfig } from '../config/modelConfig.js';
import { presets } from '../config/presets.js';

/** The model sizes for benchmarks. */
export const benchPresets = ['base', 'tiny'] as const;
export type BenchPreset = (typeof benchPresets)[number];

/** Numbers of language, object-relationship and cross-modality layers. */
export type Layers = readonly [language: number, objects: number, cross: number];

/** The model of a preset with the paper's data sizes and dropout. The preset for scenes turns dropout off. */
export function benchConfig(preset: BenchPreset, layers?: Layers): ModelConfig {
  return modelConfigSchema.parse({
    ...presets[preset].model,
    hiddenDropoutProb: 0.1,
    attentionProbsDropoutProb: 0.1,
    ...(layers && { lLayers: layers[0], rLayers: layers[1], xLayers: layers[2] }),
  });
}
