/** Work that takes a measurable time, for tests in this process. */
import type { ModelConfig } from '../../../src/config/modelConfig.js';
import type { Engine } from '../../../src/engine/index.js';
import { Pretrainer } from '../../../src/pretrain/pretrainer.js';
import { plainSum, type StepOptions } from '../../../src/pretrain/losses.js';

export function newPretrainer(config: ModelConfig, threads: number): Pretrainer {
  const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
  return new Pretrainer({ config, adam, engine: { device: 'cpu', threads } });
}

export const stepOptions = (step: number): StepOptions => ({ step, learningRate: 1e-3, seed: 7, weights: plainSum });

/** An arena of three square matrices, and the op y = x Wᵀ on them: 2 size³ FLOP. */
export function matrixProduct(engine: Engine, size: number): () => void {
  const bytes = 4 * size * size;
  engine.reserve('state', 3 * bytes);
  const [x, weight, y] = [0, 1, 2].map((i) => engine.tensor('state', i * bytes, [size, size]));
  const rows = { set: 'all', capacity: size, split: 0, record: null } as const;
  return () => engine.run('linearForward', [rows, size, size, x, weight, null, y]);
}
