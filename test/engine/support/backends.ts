import { describeCuda, Engine, type EngineOptions, type Precision } from '../../../src/engine/index.js';
import { emulator } from '../../support/emulator.js';
import type { FloatType } from './opCase.js';

/** ‖out - ref‖ / ‖ref‖ at most, by the precision in which a back end multiplies. */
export const tolerances = { float32: 1e-5, bfloat16: 1e-2 } as const;

export interface Backend {
  readonly name: string;
  readonly precision: Precision;
  /** What activations are kept in. */
  readonly dtype: FloatType;
  /** Bytes that tensors are aligned to. */
  readonly alignment: number;
  readonly options: EngineOptions;
  readonly open: (threads?: number) => Engine;
}

/** Whether this processor multiplies bfloat16; an engine that asks for it is refused otherwise. */
export const cpuMultipliesBFloat16 = ((): boolean => {
  try {
    void Engine.create({ device: 'cpu', precision: 'bfloat16', threads: 1 }).dispose();
    return true;
  } catch {
    return false;
  }
})();

function cuda(name: string, cudaLibrary?: string): Backend[] {
  return (['float32', 'bfloat16'] as const).map((precision) => ({
    name: `${name} ${precision}`,
    precision,
    dtype: precision === 'bfloat16' ? 'bf16' : 'f32',
    alignment: 4,
    options: { device: 'cuda', precision, cudaLibrary },
    open: () => Engine.create({ device: 'cuda', precision, cudaLibrary }),
  }));
}

function hasGpu(): boolean {
  try {
    return !describeCuda().startsWith('emulated');
  } catch {
    return false;
  }
}

/** What the op table is run on. */
export const backends: readonly Backend[] = [
  {
    name: 'cpu',
    precision: 'float32',
    dtype: 'f32',
    alignment: 4,
    options: { device: 'cpu', threads: 2 },
    open: (threads = 2) => Engine.create({ device: 'cpu', threads }),
  },
  ...(cpuMultipliesBFloat16
    ? [
        {
          name: 'cpu in bfloat16',
          precision: 'bfloat16',
          dtype: 'f32',
          alignment: 4,
          options: { device: 'cpu', precision: 'bfloat16', threads: 2 },
          open: (threads = 2) => Engine.create({ device: 'cpu', precision: 'bfloat16', threads }),
        } as const,
      ]
    : []),
  ...(emulator ? cuda('emulated cuda', emulator) : []),
  ...(hasGpu() ? cuda('cuda') : []),
];
