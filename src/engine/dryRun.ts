import type { NativeAddon, NativeEngine } from './native.js';
import type { Precision } from './device.js';

/**
 * An addon that uses no memory and does no work. An engine with this addon passes its op calls only to the observer, and
 * reads give zeros. Activations have the type of the precision, as on CUDA.
 */
export function dryAddon(addon: NativeAddon, precision: Precision): NativeAddon {
  const nothing = (): void => undefined;
  const done = async (): Promise<void> => undefined;
  return {
    ...addon,
    createEngine: () => ({}) as NativeEngine,
    activationsOf: () => (precision === 'bfloat16' ? 'bf16' : 'f32'),
    reserve: nothing,
    enqueue: nothing,
    enterLane: nothing,
    record: () => 0,
    replay: () => '',
    takeNote: () => '',
    forget: nothing,
    hostMemory: (_engine, bytes) => new ArrayBuffer(bytes),
    upload: done,
    read: async (_engine, _arena, _offset, target) => target,
    synchronize: done,
    profile: nothing,
    readProfile: async (_engine, target) => target,
    dispose: done,
    joinRanks: nothing,
    share: nothing,
  };
}
