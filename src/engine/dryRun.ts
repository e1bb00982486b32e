import type { NativeAddon, NativeEngine } from './native.js';
import type { Precision } from './device.js';

/**
 * An addon that allocates no memory and computes nothing. In an engine with this addon, only the observer receives the
 * op calls, and a read does not change its target. Activations have the type of the precision, as on CUDA.
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
    joinRanksOfDevice: done,
    share: nothing,
  };
}
