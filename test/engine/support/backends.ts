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

/** What the op table is run on. */
export const backends: readonly Backend[] = [
  {
    name: 'cpu',
    precision: 'float32',
    alignment: 4,
    open: (threads = 2) => Engine.create({ device: 'cpu', threads }),
  },
];
