import {
  dtypeBytes,
  elements,
  type DType,
  type OpArgument,
  type OpName,
  type Rows,
  type Tensor,
} from '../engine/index.js';
import type { RowCounts } from './flops.js';

/** What op calls have to do at least. */
export interface OpWork {
  readonly calls: number;
  /** FLOPs of matrix products; 0 for ops without one. */
  readonly flops: number;
  /** Bytes to and from memory, if every operand moved once. */
  readonly bytes: number;
}

const isTensor = (arg: OpArgument): arg is Tensor => typeof arg === 'object' && arg !== null && 'arena' in arg;
const isRows = (arg: OpArgument): arg is Rows => typeof arg === 'object' && arg !== null && 'set' in arg;

/** Rows that a batch fills of a set's capacity. */
function activeRows({ set, capacity }: Rows, n: RowCounts): number {
  const counts = {
    all: capacity,
    samples: n.samples,
    language: n.tokens,
    vision: n.objects,
    stacked: n.tokens + n.objects,
    // Pairs of pictures stand where masked words do (src/step/staging.ts).
    maskedTokens: n.examples < n.samples ? n.examples : n.maskedTokens,
    maskedObjects: n.maskedObjects,
  };
  return counts[set];
}

/** Operands that are read and written in one call, by their place in it. */
const inPlace: Partial<Record<OpName, readonly number[]>> = {
  layerNormForward: [4], // z
  softmaxCrossEntropyBackward: [4], // logits
  sigmoidCrossEntropyBackward: [4], // logits
  smoothL1Backward: [3], // prediction
  gatherRowsBackward: [4], // the gradient that is added to
  adamUpdate: [8, 10, 11], // parameters and both moments
};

/** Tables of which a call touches no more rows than it has: any operand larger than this is one. */
const lookUps: readonly OpName[] = [
  'tokenEmbeddingForward',
  'tokenEmbeddingBackward',
  'gatherRowsForward',
  'gatherRowsBackward',
  'gatherFeatures',
];

/** FLOPs by op of those that multiply matrices; arguments as in native/engine/ops. */
function flopsOf(op: OpName, args: readonly OpArgument[], rows: number, n: RowCounts): number {
  if (op.startsWith('linear')) return 2 * rows * (args[1] as number) * (args[2] as number);
  if (op === 'attentionForward' || op === 'attentionBackward') {
    const [, , heads, headDim, , second] = args;
    const { set } = args[0] as Rows;
    const pairs = second !== null ? 2 * n.crossPairs : set === 'language' ? n.tokenPairs : n.objectPairs;
    // Forward: scores and context. Backward: the gradients of both operands of both.
    return (op === 'attentionForward' ? 4 : 8) * pairs * (heads as number) * (headDim as number);
  }
  return 0;
}

/** Bytes of a number of an operand: products in bfloat16 read the parameters' copy. */
function bytesOfNumber(op: OpName, { arena, dtype }: Tensor, activations: DType): number {
  return dtypeBytes[op.startsWith('linear') && arena === 'parameters' ? activations : dtype];
}

/** The optimizer writes that copy. */
function copyBytes(op: OpName, args: readonly OpArgument[], activations: DType): number {
  return op === 'adamUpdate' && activations === 'bf16' ? dtypeBytes.bf16 * elements((args[8] as Tensor).shape) : 0;
}

/** What one call has to do for a batch, where activations are kept in `activations`. */
export function workOf(op: OpName, args: readonly OpArgument[], n: RowCounts, activations: DType = 'f32'): OpWork {
  const set = args.find(isRows);
  const rows = set ? activeRows(set, n) : 0;
  const bytes = args.map((arg) => {
    if (!isTensor(arg)) return 0;
    const number = bytesOfNumber(op, arg, activations);
    const whole = elements(arg.shape) * number;
    if (set && (arg.shape[0] === set.capacity || lookUps.includes(op)))
      return Math.min(whole, rows * elements(arg.shape.slice(1)) * number);
    return whole;
  });
  const again = (inPlace[op] ?? []).reduce((sum, i) => sum + (bytes[i] ?? 0), 0);
  return {
    calls: 1,
    flops: flopsOf(op, args, rows, n),
    bytes: bytes.reduce((sum, b) => sum + b, copyBytes(op, args, activations)) + again,
  };
}

/** Sums of the work of calls, by op. */
export class WorkByOp {
  private readonly sums = new Map<OpName, OpWork>();

  get ops(): readonly OpName[] {
    return [...this.sums.keys()];
  }

  add(op: OpName, work: OpWork): void {
    const { calls, flops, bytes } = this.of(op);
    this.sums.set(op, { calls: calls + work.calls, flops: flops + work.flops, bytes: bytes + work.bytes });
  }

  of(op: OpName): OpWork {
    return this.sums.get(op) ?? { calls: 0, flops: 0, bytes: 0 };
  }

  get flops(): number {
    return [...this.sums.values()].reduce((sum, { flops }) => sum + flops, 0);
  }
}
