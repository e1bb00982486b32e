import { Engine } from '../../../src/engine/index.js';

/** ‖out - ref‖ / ‖ref‖ at most, by the precision in which a back end multiplies. */
export const tolerances = { float32: 1e-5, bfloat16: 1e-2 } as const;

export interface Backend {
  readonly name: string;
  readonly precision: keyof typeof tolerances;
  /** Bytes that tensors are aligned to. */
  readonly alignment: number;
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

/** What the op table is run on. */
export const backends: readonly Backend[] = [
  {
    name: 'cpu',
    precision: 'float32',
    alignment: 4,
    open: (threads = 2) => Engine.create({ device: 'cpu', threads }),
  },
  ...(cpuMultipliesBFloat16
    ? [
        {
          name: 'cpu in bfloat16',
          precision: 'bfloat16',
          alignment: 4,
          open: (threads = 2) => Engine.create({ device: 'cpu', precision: 'bfloat16', threads }),
        } as const,
      ]
    : []),
];
