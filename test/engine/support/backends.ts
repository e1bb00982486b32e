import { describeCuda, Engine, type EngineOptions, type Precision } from '../../../src/engine/index.js';
import { emulator } from '../../support/emulator.js';
import type { FloatType } from './opCase.js';

/** The largest ‖out - ref‖ / ‖ref‖ for each precision of the products. */
export const tolerances = { float32: 1e-5, bfloat16: 1e-2 } as const;

export interface Backend {
  readonly name: string;
  readonly precision: Precision;
  /** The type of stored activations. */
  readonly dtype: FloatType;
  /** Alignment of tensors in bytes. */
  readonly alignment: number;
  readonly options: EngineOptions;
  readonly open: (threads?: number) => Engine;
}

/** Whether this processor can multiply bfloat16. If not, an engine with bfloat16 is refused. */
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

/** The back ends on which the op table is tested. */
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
