import type { Parameter } from '../gradientLedger.js';
import type { OpArgument } from '../encodeCall.js';
import type { Rows } from '../stepRecord.js';
import type { Tape } from '../tape.js';
import { checkShape, type Tensor } from '../tensor.js';
import { layerNormEpsilon, type LayerNormWeights, type ResidualOptions } from './layerNorm.js';

export interface TokenEmbeddingWeights {
  /** [vocabulary, H], [positions, H], [types, H] */
  readonly word: Parameter;
  readonly position: Parameter;
  readonly type: Parameter;
  readonly norm: LayerNormWeights;
}

/**
 * `dropout(LN(word[id] + position[p] + type[0]))` for each token, where p is its place in its sample: ids [rows] →
 * [rows, H]. As in the original, row 0 of a table gets no gradient from this op.
 */
export function tokenEmbedding(
  tape: Tape,
  rows: Rows,
  ids: Tensor,
  weights: TokenEmbeddingWeights,
  options: ResidualOptions,
): Tensor {
  const { engine } = tape;
  const { word, position, type, norm } = weights;
  const [vocabSize, width] = word.tensor.shape;
  checkShape('tokenEmbedding', 'ids', ids, [rows.capacity], 'i32');
  checkShape('tokenEmbedding', 'rowIds', options.rowIds, [rows.capacity, 2], 'i32');
  const out = options.out ?? tape.activation([rows.capacity, width]);
  const stats = tape.activation([rows.capacity, 2], 'f32');
  const shape: OpArgument[] = [
    rows,
    width,
    vocabSize,
    position.tensor.shape[0],
    tape.dropout(options.dropout, options.rowIds),
    ids,
    options.rowIds,
    word.tensor,
    position.tensor,
    type.tensor,
    norm.weight.tensor,
  ];
  engine.run('tokenEmbeddingForward', [...shape, layerNormEpsilon, norm.bias.tensor, out, stats]);
  tape.record([out], () => {
    const dOut = tape.gradient(out);
    if (!dOut || !tape.parameterGradients) return;
    for (const table of [word, position]) {
      const { tensor, accumulate } = tape.parameter(table);
      if (!accumulate) engine.run('fill', [0, tensor]);
    }
    const dWeight = tape.parameter(norm.weight);
    const dBias = tape.parameter(norm.bias);
    const backward = (scratch: Tensor): void => {
      engine.run('tokenEmbeddingBackward', [
        ...shape,
        dWeight.accumulate,
        stats,
        dOut,
        scratch,
        word.gradient,
        position.gradient,
        dWeight.tensor,
        dBias.tensor,
      ]);
    };
    tape.temporary(out.shape, backward, 'f32');
  });
  return out;
}
