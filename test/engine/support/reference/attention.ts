/**
 * Scaled dot-product attention within samples, one query at a time, in float64:
 * S = Q Kᵀ/√d, P = softmax S, O = (P ∘ M) V with M the dropout mask; and its gradients by the chain rule.
 */
import { abs, exp, log, max, sqrt } from '../fastMath.js';
import { maskAt, type MaskKeys } from './dropout.js';

type Vector = ArrayLike<number>;

/** Distance of the mask columns of two heads: the longest sample (native/engine/ops.h). */
const maskStride = 512;

/** Rows [queryBegin, queryEnd) read rows [keyBegin, keyEnd). */
export interface Reader {
  readonly sample: number;
  /**
   * 0: the rows of language, or of the only stream, are the queries. 1: the rows of vision are the queries, and those
   * of language the keys.
   */
  readonly direction: 0 | 1;
  readonly queryBegin: number;
  readonly queryEnd: number;
  readonly keyBegin: number;
  readonly keyEnd: number;
}

export interface AttentionShape {
  readonly capacity: number;
  readonly heads: number;
  readonly headDim: number;
  readonly readers: readonly Reader[];
  readonly mask: MaskKeys | null;
}

/** Pairs of reading and read rows: the rows of each sample read each other, or, with two streams, each stream reads the other. */
export function readersOf(samples: number, offsetsA: Vector, offsetsB: Vector | null, split: number): Reader[] {
  const readers: Reader[] = [];
  for (let s = 0; s < samples; s++) {
    const a = [offsetsA[s], offsetsA[s + 1]];
    const b = offsetsB ? [split + offsetsB[s], split + offsetsB[s + 1]] : a;
    readers.push({ sample: s, direction: 0, queryBegin: a[0], queryEnd: a[1], keyBegin: b[0], keyEnd: b[1] });
    if (offsetsB)
      readers.push({ sample: s, direction: 1, queryBegin: b[0], queryEnd: b[1], keyBegin: a[0], keyEnd: a[1] });
  }
  return readers;
}

export interface Query {
  readonly reader: Reader;
  readonly head: number;
  readonly row: number;
  /** The values of the keys, in order. */
  readonly probabilities: readonly number[];
  readonly mask: readonly number[];
  readonly logSumExp: number;
}

const part = { query: 0, key: 1, value: 2 } as const;

/** Place of component d of a row's query, key or value in qkv [rows, 3H]; the next component is the next element. */
function at(s: AttentionShape, row: number, which: keyof typeof part, head: number, d: number): number {
  return row * 3 * s.heads * s.headDim + (part[which] * s.heads + head) * s.headDim + d;
}

function* queriesOf(s: AttentionShape, qkv: Vector): Generator<Query> {
  for (const reader of s.readers)
    for (let head = 0; head < s.heads; head++)
      for (let row = reader.queryBegin; row < reader.queryEnd; row++) {
        const scores: number[] = [];
        const mask: number[] = [];
        for (let key = reader.keyBegin; key < reader.keyEnd; key++) {
          const [q, k] = [at(s, row, 'query', head, 0), at(s, key, 'key', head, 0)];
          let dot = 0;
          for (let d = 0; d < s.headDim; d++) dot += qkv[q + d] * qkv[k + d];
          scores.push(dot / sqrt(s.headDim));
          mask.push(maskAt(s.mask, row, head * maskStride + key - reader.keyBegin));
        }
        if (scores.length === 0) continue; // there is no key: the row stays zero
        const largest = max(...scores);
        const sum = scores.reduce((total, score) => total + exp(score - largest), 0);
        const logSumExp = largest + log(sum);
        const probabilities = scores.map((score) => exp(score - logSumExp));
        yield { reader, head, row, probabilities, mask, logSumExp };
      }
}

export interface AttentionResult {
  readonly context: Float64Array;
  readonly logSumExp: Float64Array;
  /** Before dropout, per query in the order of readers, heads and rows. */
  readonly queries: readonly Query[];
}

export function attentionForward(s: AttentionShape, qkv: Vector): AttentionResult {
  const hidden = s.heads * s.headDim;
  const context = new Float64Array(s.capacity * hidden);
  const logSumExp = new Float64Array(s.capacity * s.heads);
  const queries = [...queriesOf(s, qkv)];
  for (const q of queries) {
    logSumExp[q.row * s.heads + q.head] = q.logSumExp;
    for (let d = 0; d < s.headDim; d++)
      context[q.row * hidden + q.head * s.headDim + d] = q.probabilities.reduce(
        (sum, p, j) => sum + p * q.mask[j] * qkv[at(s, q.reader.keyBegin + j, 'value', q.head, d)],
        0,
      );
  }
  return { context, logSumExp, queries };
}

/** dP of each key of a query: the gradient of its probabilities before dropout. */
export function probabilityGradients(
  s: AttentionShape,
  qkv: Vector,
  dContext: Vector,
  { reader, head, row, probabilities, mask }: Query,
): number[] {
  const dOut = (row * s.heads + head) * s.headDim;
  return probabilities.map((_, j) => {
    const value = at(s, reader.keyBegin + j, 'value', head, 0);
    let dot = 0;
    for (let d = 0; d < s.headDim; d++) dot += dContext[dOut + d] * qkv[value + d];
    return dot * mask[j];
  });
}

export interface AttentionGradients {
  readonly dQkv: Float64Array;
  /** Sizes of the terms of dQkv before they cancel, element by element. */
  readonly terms: Float64Array;
}

export function attentionBackward(s: AttentionShape, qkv: Vector, dContext: Vector): AttentionGradients {
  const hidden = s.heads * s.headDim;
  const dQkv = new Float64Array(s.capacity * 3 * hidden);
  const terms = new Float64Array(s.capacity * 3 * hidden);
  for (const asked of queriesOf(s, qkv)) {
    const { reader, head, row, probabilities, mask } = asked;
    const dOut = row * hidden + head * s.headDim;
    // dS = P (dP - Σ P dP)
    const dP = probabilityGradients(s, qkv, dContext, asked);
    const mean = probabilities.reduce((sum, p, j) => sum + p * dP[j], 0);
    probabilities.forEach((p, j) => {
      const dS = (p * (dP[j] - mean)) / sqrt(s.headDim);
      const size = (p * (abs(dP[j]) + abs(mean))) / sqrt(s.headDim);
      const query = at(s, row, 'query', head, 0);
      const key = at(s, reader.keyBegin + j, 'key', head, 0);
      const value = at(s, reader.keyBegin + j, 'value', head, 0);
      for (let d = 0; d < s.headDim; d++) {
        dQkv[query + d] += dS * qkv[key + d];
        dQkv[key + d] += dS * qkv[query + d];
        dQkv[value + d] += p * mask[j] * dContext[dOut + d];
        terms[query + d] += size * abs(qkv[key + d]);
        terms[key + d] += size * abs(qkv[query + d]);
        terms[value + d] += abs(p * mask[j] * dContext[dOut + d]);
      }
    });
  }
  return { dQkv, terms };
}
