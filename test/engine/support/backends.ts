import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Engine, type Precision } from '../../../src/engine/index.js';
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
  readonly open: (threads?: number) => Engine;
}

/**
 * The CUDA kernels on this CPU (native/cuda/emulator), in a library that `npm test` builds; null where Boost.Context is
 * not installed, and its tests are left out.
 */
const emulatorPath = fileURLToPath(new URL('../../../build/Release/lxmert_cuda_emulator.so', import.meta.url));
export const emulator: string | null = existsSync(emulatorPath) ? emulatorPath : null;

function cuda(name: string, cudaLibrary?: string): Backend[] {
  return (['float32', 'bfloat16'] as const).map((precision) => ({
    name: `${name} ${precision}`,
    precision,
    dtype: precision === 'bfloat16' ? 'bf16' : 'f32',
    alignment: 4,
    open: () => Engine.create({ device: 'cuda', precision, cudaLibrary }),
  }));
}

function hasGpu(): boolean {
  try {
    return !Engine.describeCuda().startsWith('emulated');
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
    open: (threads = 2) => Engine.create({ device: 'cpu', threads }),
  },
  ...(emulator ? cuda('emulated cuda', emulator) : []),
  ...(hasGpu() ? cuda('cuda') : []),
];
