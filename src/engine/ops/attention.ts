import { LxmertError } from '../../errors.js';
import type { Dropout, OpArgument } from '../encodeCall.js';
import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, elements, type Tensor } from '../tensor.js';

/** Limits of attention for each device: rows (tokens or objects) of a sample, and columns of a head. */
export const attentionLimits = {
  cpu: { rows: 512, headDim: 256 },
  cuda: { rows: 128, headDim: 128 },
} as const;

/** The longest sample (tokens or objects) that attention takes on any device. */
export const maxAttentionLength = attentionLimits.cpu.rows;

/** Where the samples of a stream begin, and the most rows that each may have. */
export interface SampleRows {
  /** [samples + 1] i32: the first row of each sample within the stream, and the end of the last one. */
  readonly offsets: Tensor;
  /** 1 to maxAttentionLength. Kernels are launched for this number of rows a sample, so use few different numbers. */
  readonly longest: number;
}

export interface AttentionOptions {
  readonly heads: number;
  readonly dropout: number;
  /** [rows, 2]: global sample, and row in the sample, of each row. */
  readonly rowIds: Tensor;
  /**
   * Receives the probabilities, [samples, heads, side, side], of each direction. They are for comparisons and pictures.
   */
  readonly probabilities?: readonly Tensor[] | undefined;
  /** Receives, in the backward pass, the gradients of these probabilities before dropout, in the same form. */
  readonly gradients?: readonly Tensor[] | undefined;
}

/**
 * Self-attention among the rows of each sample: qkv [rows, 3H] (query, key, value side by side) → context [rows, H].
 */
export function packedAttention(
  tape: Tape,
  rows: Rows,
  qkv: Tensor,
  samples: SampleRows,
  options: AttentionOptions,
): Tensor {
  return attention(tape, rows, qkv, samples, null, options);
}

/**
 * Cross-attention in both directions. The rows are two streams stacked at `rows.split`. In each sample the rows of one
 * stream attend to the rows of the other (LXMERT, section 2.2: both directions read the input of the layer).
 */
export function crossAttention(
  tape: Tape,
  rows: Rows,
  qkv: Tensor,
  language: SampleRows,
  vision: SampleRows,
  options: AttentionOptions,
): Tensor {
  if (rows.set !== 'stacked') throw new LxmertError('INTERNAL', `crossAttention takes stacked rows, not ${rows.set}`);
  return attention(tape, rows, qkv, language, vision, options);
}

function attention(
  tape: Tape,
  rows: Rows,
  qkv: Tensor,
  first: SampleRows,
  second: SampleRows | null,
  options: AttentionOptions,
): Tensor {
  const { heads } = options;
  const hidden = qkv.shape[1] / 3;
  const samples = elements(first.offsets.shape) - 1;
  if (hidden % heads !== 0)
    throw new LxmertError('BAD_ARGUMENT', `attention: a hidden size of ${hidden} does not divide into ${heads} heads`);
  checkShape('attention', 'qkv', qkv, [rows.capacity, 3 * hidden]);
  const context = tape.activation([rows.capacity, hidden]);
  const logSumExp = tape.activation([rows.capacity, heads], 'f32');
  const dropout: Dropout = tape.dropout(options.dropout, options.rowIds);
  const shape: OpArgument[] = [
    ...[rows, samples, heads, hidden / heads, first.offsets, second?.offsets ?? null],
    ...[first.longest, second?.longest ?? 0, dropout],
  ];
  const maps = options.probabilities;
  tape.engine.run('attentionForward', [
    ...shape,
    maps ? maps[0].shape[3] : 0,
    qkv,
    context,
    logSumExp,
    maps?.[0] ?? null,
    maps?.[1] ?? null,
  ]);
  tape.record([context], () => {
    const dContext = tape.gradient(context);
    const dQkv = tape.target(qkv);
    if (!dContext || !dQkv) return;
    if (dQkv.accumulate) throw new LxmertError('INTERNAL', 'attention: its qkv has another reader');
    tape.engine.run('attentionBackward', [...shape, qkv, logSumExp, dContext, dQkv.tensor]);
    const [a, b = null] = options.gradients ?? [];
    if (a) tape.engine.run('attentionMapGradient', [...shape, a.shape[3], qkv, dContext, a, b]);
  });
  return context;
}
