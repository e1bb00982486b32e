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

/** The least work that calls of an op must do. */
export interface OpWork {
  readonly calls: number;
  /** FLOPs of matrix products; 0 for ops without one. */
  readonly flops: number;
  /** Bytes read and written if every operand moves once. */
  readonly bytes: number;
}

const isTensor = (arg: OpArgument): arg is Tensor => typeof arg === 'object' && arg !== null && 'arena' in arg;
const isRows = (arg: OpArgument): arg is Rows => typeof arg === 'object' && arg !== null && 'set' in arg;

/** The number of rows that a batch fills. */
function activeRows({ set, capacity }: Rows, n: RowCounts): number {
  const counts = {
    all: capacity,
    samples: n.samples,
    language: n.tokens,
    vision: n.objects,
    stacked: n.tokens + n.objects,
    // With two pictures a sentence (NLVR2) this set counts the pairs of pictures (src/step/staging.ts).
    maskedTokens: n.examples < n.samples ? n.examples : n.maskedTokens,
    maskedObjects: n.maskedObjects,
  };
  return counts[set];
}

/** Operands that a call both reads and writes, by their position in the call. */
const inPlace: Partial<Record<OpName, readonly number[]>> = {
  layerNormForward: [4], // z
  softmaxCrossEntropyBackward: [4], // logits
  sigmoidCrossEntropyBackward: [4], // logits
  smoothL1Backward: [3], // prediction
  gatherRowsBackward: [4], // the gradient that is added to
  adamUpdate: [8, 10, 11], // parameters and both moments
};

/**
 * Ops that read rows of a table. A call uses at most as many rows of the table as the call has rows. If an operand of
 * such an op has more rows, it is the table.
 */
const lookUps: readonly OpName[] = [
  'tokenEmbeddingForward',
  'tokenEmbeddingBackward',
  'gatherRowsForward',
  'gatherRowsBackward',
  'gatherFeatures',
];

/** FLOPs of the matrix products in a call of an op. The arguments are those of native/engine/ops/. */
function flopsOf(op: OpName, args: readonly OpArgument[], rows: number, n: RowCounts): number {
  if (op.startsWith('linear')) return 2 * rows * (args[1] as number) * (args[2] as number);
  if (op.startsWith('attention')) {
    const [, , heads, headDim, , second] = args;
    const { set } = args[0] as Rows;
    const pairs = second !== null ? 2 * n.crossPairs : set === 'language' ? n.tokenPairs : n.objectPairs;
    // Forward has two products, the scores and the context. Backward has the gradients of both operands of each product. The
    // gradient of the map is one of them.
    const products = { attentionForward: 2, attentionMapGradient: 1 }[op as string] ?? 4;
    return 2 * products * pairs * (heads as number) * (headDim as number);
  }
  return 0;
}

/** Bytes of one element of an operand. Products in bfloat16 read the rounded copy of the parameters. */
function bytesOfNumber(op: OpName, { arena, dtype }: Tensor, activations: DType): number {
  return dtypeBytes[op.startsWith('linear') && arena === 'parameters' ? activations : dtype];
}

/** Bytes of the rounded copy of the parameters, if the op is the optimizer's update, which writes it. */
function copyBytes(op: OpName, args: readonly OpArgument[], activations: DType): number {
  return op === 'adamUpdate' && activations === 'bf16' ? dtypeBytes.bf16 * elements((args[8] as Tensor).shape) : 0;
}

/** The work of one call of an op for a batch. `activations` is the type of the engine's activations. */
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

/** Sums of the work of calls, for each op. */
export class WorkByOp {
  readonly #sums = new Map<OpName, OpWork>();

  get ops(): readonly OpName[] {
    return [...this.#sums.keys()];
  }

  add(op: OpName, work: OpWork): void {
    const { calls, flops, bytes } = this.of(op);
    this.#sums.set(op, { calls: calls + work.calls, flops: flops + work.flops, bytes: bytes + work.bytes });
  }

  of(op: OpName): OpWork {
    return this.#sums.get(op) ?? { calls: 0, flops: 0, bytes: 0 };
  }

  get flops(): number {
    return [...this.#sums.values()].reduce((sum, { flops }) => sum + flops, 0);
  }
}
