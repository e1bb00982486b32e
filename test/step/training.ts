/** Trains small models for a few steps, and returns their results. */
import type { Batch } from '../../src/data/batches/batch.js';
import type { EngineOptions } from '../../src/engine/index.js';
import { plainSum, type LossWeights, type StepResult } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { randomBatch, smallConfig } from '../support/batches.js';
import { emulator } from '../support/emulator.js';

export const config = smallConfig();
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const models: Pretrainer[] = [];

/** Disposes of all opened models. */
export async function disposeModels(): Promise<void> {
  for (const model of models.splice(0)) await model.dispose();
}

/** CUDA on the emulator; tests with it are skipped if there is no emulator. */
export const emulated = (precision: 'float32' | 'bfloat16'): EngineOptions => ({
  device: 'cuda',
  precision,
  cudaLibrary: emulator ?? '',
});

export interface Step {
  readonly parts: readonly Batch[];
  readonly weights?: LossWeights;
}

export const kinds = ['parameter', 'firstMoment', 'secondMoment'] as const;

export async function stateOf(model: Pretrainer): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { name } of model.parameters)
    for (const kind of kinds) values.set(`${kind} ${name}`, await model.read(kind, name));
  return values;
}

/** Opens a model; a note about how its steps run would be an error. */
export async function open(engine: EngineOptions, recorded: boolean): Promise<Pretrainer> {
  const onNote = (text: string): void => {
    throw new Error(text);
  };
  const model = new Pretrainer({ config, adam, engine: { ...engine, onNote } });
  models.push(model);
  if (!recorded) model.engine.observer = () => undefined; // ops one by one
  await model.initialize(3);
  return model;
}

/** The results of all steps, which are enqueued together, and the state after them. */
export async function train(model: Pretrainer, steps: readonly Step[], first = 0) {
  const results: StepResult[] = await Promise.all(
    steps.map(({ parts, weights = plainSum }, i) =>
      model.step(parts, { step: first + i, learningRate: 1e-2 / (1 + i), seed: 5, weights }),
    ),
  );
  return { results, state: await stateOf(model) };
}

export const batches = (n: number, options: Parameters<typeof randomBatch>[2] = {}): Batch[] =>
  Array.from({ length: n }, (_, i) => randomBatch(config, i + 1, options));
