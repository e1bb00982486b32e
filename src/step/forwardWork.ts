import type { ModelConfig } from '../config/modelConfig.js';
import { Tape, type Engine, type LossSlot, type Tensor } from '../engine/index.js';
import type { AttentionMaps } from '../model/encoder.js';
import type { ModelWeights } from '../model/weights.js';
import type { LossWeights, Tallies } from './losses.js';
import type { Objective } from './objective.js';
import type { StagedBatch } from './staging.js';

/** A backward pass from one value in each row of an output to the attention maps. */
export interface MapGradients<Outputs> {
  /** The output, [rows, width], for example logits. No other op may read it. */
  readonly from: (outputs: Outputs) => Tensor;
  /** The column of each row whose gradient is 1, given the values; a row without a column has no gradient. */
  readonly choose: (values: Float32Array, width: number) => readonly number[];
  /** Makes the tensors for the gradients in the workspace: for some of the maps, by name, in the shape of the maps. */
  readonly maps: (tape: Tape) => AttentionMaps;
}

export interface ForwardOptions<L extends string, Outputs, T> {
  /**
   * Reads the outputs that the caller needs, with `engine.readFloats`; the next call of the model overwrites them. This
   * function must not call the model: such a call is refused, because it would have to wait for the end of this call.
   */
  readonly use: (outputs: Outputs, tallies: () => Promise<Tallies<L>>, made: MadeMaps) => Promise<T>;
  /** Makes the tensors for attention maps in the workspace. */
  readonly maps?: ((tape: Tape) => AttentionMaps) | undefined;
  /** A backward pass, which ends before `use` begins. It does not compute gradients of parameters. */
  readonly mapGradients?: MapGradients<Outputs> | undefined;
}

/** The tensors that a forward call has written in addition to the outputs. */
export interface MadeMaps {
  readonly maps: AttentionMaps;
  /**
   * With `mapGradients`: the gradients of the maps, and the values of the output before its gradient overwrites them.
   */
  readonly gradients: AttentionMaps;
  readonly values: Float32Array;
}

interface ForwardModel<L extends string, Outputs> {
  readonly engine: Engine;
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly objective: Objective<L, Outputs>;
  readonly slotOf: (loss: L) => LossSlot;
}

/**
 * The work of a forward call: `plan` makes all its op calls; `compute` enqueues them, and waits for the values that it
 * needs.
 */
export interface ForwardWork<Outputs> {
  /** A key for everything except the batch and the losses on which the op calls depend. */
  readonly kind: string;
  readonly plan: (staged: StagedBatch) => void;
  readonly compute: (staged: StagedBatch) => Promise<MadeMaps & { readonly outputs: Outputs }>;
}

const none: AttentionMaps = new Map();

export function forwardWork<L extends string, Outputs>(
  { engine, config, weights, objective, slotOf }: ForwardModel<L, Outputs>,
  lossWeights: LossWeights<L>,
  { maps: makeMaps, mapGradients }: Omit<ForwardOptions<L, Outputs, unknown>, 'use'>,
): ForwardWork<Outputs> {
  const withoutDropout = { ...config, hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 };
  const forwards = (staged: StagedBatch) => {
    const tape = new Tape(engine, { training: mapGradients !== undefined, parameterGradients: false });
    const maps = makeMaps?.(tape) ?? none;
    const gradients = mapGradients?.maps(tape) ?? none;
    tape.record([], null); // the backward pass releases them last, so that no other tensor of it gets their memory
    const encoder = { tape, weights, config: withoutDropout, maps, mapGradients: gradients };
    const outputs = objective.forward({ encoder, batch: staged, weights: lossWeights, slotOf });
    return { tape, maps, gradients, outputs };
  };
  const backwards = (tape: Tape, from: Tensor): void => {
    tape.recordLoss(from, () => undefined);
    tape.backward();
  };
  return {
    kind: ['forward', makeMaps ? 'maps' : '', mapGradients ? 'gradients of maps' : ''].join(' '),
    plan: (staged) => {
      const { tape, outputs } = forwards(staged);
      if (mapGradients) backwards(tape, mapGradients.from(outputs));
    },
    compute: async (staged) => {
      const { tape, maps, gradients, outputs } = forwards(staged);
      if (!mapGradients) return { maps, gradients, outputs, values: new Float32Array(0) };
      const from = mapGradients.from(outputs);
      const values = await engine.readFloats(from);
      await engine.upload(from, ones(from, mapGradients.choose(values, from.shape[1])));
      backwards(tape, from);
      return { maps, gradients, outputs, values };
    },
  };
}

/** Zeros in all columns, except a one in the given column of each row. */
function ones({ shape: [rows, width], dtype }: Tensor, columns: readonly number[]): NodeJS.TypedArray {
  const bf16One = 0x3f80;
  const values = dtype === 'bf16' ? new Uint16Array(rows * width) : new Float32Array(rows * width);
  columns.forEach((column, row) => (values[row * width + column] = dtype === 'bf16' ? bf16One : 1));
  return values;
}
