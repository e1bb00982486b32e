import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LxmertError } from '../errors.js';
import { buildCudaHint, loadAddon, packageRoot } from './load.js';
import { translated, type NativeAddon, type NativeEngine } from './native.js';

export const precisions = ['float32', 'bfloat16'] as const;
/** The type of products and of stored activations. Parameters, gradients and moments are always float32. */
export type Precision = (typeof precisions)[number];

export interface EngineOptions {
  /** `auto` is CUDA if CUDA works, otherwise the CPU. */
  readonly device?: 'auto' | 'cpu' | 'cuda' | undefined;
  /** Default `float32`. The CPU stores activations in float32 with both values. */
  readonly precision?: Precision | undefined;
  /** CPU threads; 0: one for each core that the process may use. */
  readonly threads?: number | undefined;
  /**
   * Number of the GPU; beyond the last one the count begins again. Default: the number that `useGpu` has set, otherwise 0.
   */
  readonly gpu?: number | undefined;
  /**
   * File of the CUDA back end. Default: LXMERT_CUDA_LIBRARY, or, if this is not set, the file that `npm run build:cuda`
   * makes.
   */
  readonly cudaLibrary?: string | undefined;
  /** Whether independent work runs at the same time on CUDA; default true. The results are the same in both cases. */
  readonly lanes?: boolean | undefined;
  /** Called once if the device cannot capture recorded ops as a graph and runs them one by one. */
  readonly onNote?: ((text: string) => void) | undefined;
  /**
   * Opens no device and uses no memory. `Engine.observer` gets the op calls as they would be for this device. It is for
   * counting work without doing it.
   */
  readonly dryRun?: boolean | undefined;
}

export interface OpenedDevice {
  readonly native: NativeEngine;
  readonly device: 'cpu' | 'cuda';
  /** A text that describes the device. If `auto` chose the CPU, it also says why CUDA was not used. */
  readonly description: string;
}

let gpuOfProcess: GpuUse = {};

/** How this process uses the GPUs of its machine. */
export interface GpuUse {
  /** Number of the GPU: of several ranks on a machine, each has another one. Default 0. */
  readonly gpu?: number | undefined;
  /** Multiprocessors that products leave to the sums over ranks; default 0. */
  readonly freeMultiprocessors?: number | undefined;
}

/** Changes the defaults of the engines that are opened later. */
export function useGpu(use: GpuUse): void {
  gpuOfProcess = { ...gpuOfProcess, ...use };
}

/** Opens the device that the options name. @throws LxmertError NO_DEVICE, BAD_ARGUMENT, OUT_OF_MEMORY */
export function openDevice(addon: NativeAddon, options: EngineOptions): OpenedDevice {
  const { device = 'auto', precision = 'float32', threads = 0, gpu = gpuOfProcess.gpu } = options;
  if (!Number.isInteger(threads) || threads < 0 || threads > 1024)
    throw new LxmertError('BAD_ARGUMENT', `threads is ${threads}, expected 0 (all cores) to 1024`);
  if (!['auto', 'cpu', 'cuda'].includes(device) || !precisions.includes(precision))
    throw new LxmertError(
      'BAD_ARGUMENT',
      `device is ${device} and precision ${precision}, expected auto, cpu or cuda, and ${precisions.join(' or ')}`,
    );
  const cpu = (why = ''): OpenedDevice => ({
    native: translated(() => addon.createEngine(threads, precision)),
    device: 'cpu',
    description: `cpu${why}`,
  });
  if (device === 'cpu') return cpu();
  try {
    const library = cudaLibrary(options.cudaLibrary);
    const native = translated(() =>
      addon.createEngine(threads, precision, library, gpu, gpuOfProcess.freeMultiprocessors),
    );
    return { native, device: 'cuda', description: `cuda: ${translated(() => addon.describePlugin(library))}` };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code !== 'NO_DEVICE') throw error;
    if (device === 'auto') return cpu(`; no CUDA: ${message}`);
    throw new LxmertError('NO_DEVICE', `device "cuda" was asked for: ${message}; or use device "cpu"`, {
      cause: error,
    });
  }
}

/** Describes this machine's CUDA device. @throws LxmertError NO_DEVICE with what is missing; ADDON */
export function describeCuda(): string {
  const [addon, library] = [loadAddon(), cudaLibrary()];
  return translated(() => addon.describePlugin(library));
}

/**
 * Describes the NCCL library that several GPUs would use. One GPU needs no NCCL.
 * @throws LxmertError NO_DEVICE with what is missing; ADDON
 */
export function describeNccl(): string {
  const [addon, library] = [loadAddon(), cudaLibrary()];
  return translated(() => addon.describeNccl(library));
}

export function cudaLibrary(named = process.env['LXMERT_CUDA_LIBRARY']): string {
  const file = named ? resolve(named) : join(packageRoot, 'build-cuda', 'lxmert_cuda.so');
  if (existsSync(file)) return file;
  throw new LxmertError(
    'NO_DEVICE',
    named
      ? `the CUDA back end ${file} does not exist; correct or unset LXMERT_CUDA_LIBRARY`
      : `the CUDA back end is not built (no ${file}); ${buildCudaHint()}`,
  );
}
