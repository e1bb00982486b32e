import type { ModelConfig } from '../config/modelConfig.js';
import type { DeviceName, RunConfig } from '../config/runConfig.js';
import type { Engine, Precision } from '../engine/index.js';
import type { ModelOptions } from './trainableModel.js';

/** The part of a run's description that describes its model and the device. */
export interface DescribedModel {
  readonly model: ModelConfig;
  readonly optimizer: Pick<RunConfig['optimizer'], 'beta1' | 'beta2' | 'eps' | 'weightDecay' | 'maxGradNorm'>;
  readonly device: DeviceName;
  readonly precision: Precision;
  readonly threads?: number | undefined;
}

type Note = ((text: string) => void) | undefined;

/** The options of a model as its run describes them. */
export function describedModel(
  { model, optimizer, device, precision, threads }: DescribedModel,
  note: Note,
): ModelOptions {
  const { beta1, beta2, eps, weightDecay, maxGradNorm } = optimizer;
  return {
    config: model,
    adam: { beta1, beta2, epsilon: eps, weightDecay, maxGradNorm },
    engine: { device, precision, threads, onNote: (text) => note?.(text) },
  };
}

/** Tells the user which device is used, and which setting would make it faster. */
export function noteDevice(
  engine: Engine,
  { device, precision }: Pick<DescribedModel, 'device' | 'precision'>,
  note: Note,
): void {
  if (device !== 'cpu') note?.(`device ${engine.description}`);
  if (engine.device === 'cuda' && precision === 'float32')
    note?.('float32 leaves the tensor cores of the GPU idle; --precision bfloat16 is for speed');
}
