import type { Dropout } from './encodeCall.js';
import type { Engine } from './engine.js';
import type { DType, Tensor } from './tensor.js';
import { dtypeBytes, elements, elementBytes, rowBlock } from './tensor.js';

/** A weight and the place of its gradient. */
export interface Parameter {
  readonly name: string;
  readonly tensor: Tensor;
  readonly gradient: Tensor;
}

/** Where to put a gradient: over what is there, or added to it. */
export interface Target {
  readonly tensor: Tensor;
  readonly accumulate: boolean;
}

/** Which parameter gradients the step has written so far, over all parts of an accumulated batch. */
export class GradientLedger {
  private readonly written: Map<number, number>;

  /** With the marks of another one. */
  constructor(before?: GradientLedger) {
    this.written = new Map(before?.written);
  }

  /** The same for the same marks, made in the same order. */
  get key(): string {
    return [...this.written.keys()].join(' ');
  }

  /** Marks a gradient; true if it had been written before. */
  mark(parameter: Parameter): boolean {
    const { offset, shape } = parameter.gradient;
    const before = this.written.get(offset);
    this.written.set(offset, Math.max(before ?? 0, offset + elements(shape) * elementBytes));
    return before !== undefined;
  }

  /** What is left of [begin, end) of the gradient arena, in bytes. */
  unwritten(begin: number, end: number): [number, number][] {
    const gaps: [number, number][] = [];
    let at = begin;
    for (const [from, to] of [...this.written].sort((a, b) => a[0] - b[0])) {
      if (to <= at || from >= end) continue;
      if (from > at) gaps.push([at, from]);
      at = Math.max(at, to);
    }
    if (at < end) gaps.push([at, end]);
    return gaps;
  }
}

interface Recorded {
  readonly outputs: readonly Tensor[];
  readonly activations: readonly Tensor[];
  readonly backward: (() => void) | null;
}

interface Gradient {
  readonly tensor: Tensor;
  /** The memory is an activation's own: a loss turns its logits into their gradient in place. */
  readonly inPlace: boolean;
  /** Row ranges of the root that hold something. */
  written: [number, number][];
}

export interface TapeOptions {
  /** False: forward only, nothing is kept for a backward pass and dropout is off. */
  readonly training: boolean;
  readonly ledger?: GradientLedger;
}

/**
 * Records each op's backward. Activations come from the bottom of the workspace and go back as the backward pass no
 * longer needs them; gradients of activations live at the top, from their first use until their producer has run.
 */
export class Tape {
  readonly training: boolean;
  private readonly ledger: GradientLedger;
  private readonly recorded: Recorded[] = [];
  private readonly gradients = new Map<Tensor, Gradient>();
  /** Activations of the op being recorded; forward only, all that there are. */
  private pending: Tensor[] = [];
  private readonly withoutGradient = new WeakSet<Tensor>();
  private instances = 0;

  constructor(
    readonly engine: Engine,
    options: TapeOptions,
  ) {
    this.training = options.training;
    this.ledger = options.ledger ?? new GradientLedger();
  }

  /** Memory that lives until the backward of the op being recorded, by default in the precision of activations. */
  activation(shape: readonly number[], dtype: DType = this.engine.activationDType): Tensor {
    const tensor = this.engine.workspace.allocate(shape, dtype, 'bottom');
    this.pending.push(tensor);
    return tensor;
  }

  /** The same for data, which has no gradient. */
  data(shape: readonly number[], dtype: DType): Tensor {
    const tensor = this.activation(shape, dtype);
    this.withoutGradient.add(tensor);
    return tensor;
  }

  /** Memory for `use` alone. */
  temporary<T>(shape: readonly number[], use: (tensor: Tensor) => T, dtype: DType = this.engine.activationDType): T {
    const tensor = this.engine.workspace.allocate(shape, dtype, 'top');
    const result = use(tensor);
    this.engine.workspace.release(tensor);
    return result;
  }

  /** One buffer for several ops to write blocks of rows of; it must be made before they are recorded. */
  buffer(shape: readonly number[]): Tensor {
    const tensor = this.activation(shape);
    this.record([tensor], null);
    return tensor;
  }

  /** Ends an op: its outputs, and what to run when their gradients are known (never when none of them has any). */
  record(outputs: readonly Tensor[], backward: (() => void) | null): void {
    if (!this.training) return;
    this.recorded.push({ outputs, activations: this.pending, backward });
    this.pending = [];
  }

  /**
   * A layer, whose input nobody else reads. Forward only, its input and all that it made but its output are given back at
   * once; with a backward pass to come, it is that which does so.
   */
  through(x: Tensor, layer: (x: Tensor) => Tensor): Tensor {
    if (this.training) return layer(x);
    const before = this.pending;
    this.pending = [];
    const out = layer(x);
    const kept = out.root ?? out;
    const isDead = (tensor: Tensor): boolean => tensor !== kept && (tensor === x || !before.includes(tensor));
    const all = [...before, ...this.pending];
    this.pending = all.filter((tensor) => !isDead(tensor));
    for (const tensor of all.filter(isDead)) this.engine.workspace.release(tensor);
    return out;
  }

  /** Ends an op that is a loss: its backward turns `logits` into their gradient in place. */
  recordLoss(logits: Tensor, backward: () => void): void {
    this.record([], () => {
      backward();
      this.gradients.set(logits, { tensor: logits, inPlace: true, written: [[0, logits.shape[0]]] });
    });
  }

  /** The dropout of the next op that has one; ops count in the order of the model, whatever the batch. */
  dropout(p: number, rowIds: Tensor): Dropout {
    const instance = this.instances++;
    return this.training && p > 0 ? { p, instance, rowIds } : { p: 0, instance, rowIds: null };
  }

  /** The gradient of an output in its op's backward; null when nothing used the output. */
  gradient(tensor: Tensor): Tensor | null {
    const gradient = this.gradients.get(tensor.root ?? tensor);
    if (!gradient || gradient.written.length === 0) return null;
    const [begin, end] = rowRange(tensor);
    if (!gradient.written.some(([from, to]) => from < end && to > begin)) return null;
    this.complete(gradient, begin, end);
    return blockOf(gradient.tensor, tensor);
  }

  /** Where to put the gradient of an input; null for data, which has none. */
  target(tensor: Tensor): Target | null {
    const root = tensor.root ?? tensor;
    if (root.arena !== 'workspace' || this.withoutGradient.has(root)) return null;
    let gradient = this.gradients.get(root);
    if (!gradient) {
      const place = this.engine.workspace.allocate(root.shape, root.dtype, 'top');
      gradient = { tensor: place, inPlace: false, written: [] };
      this.gradients.set(root, gradient);
    }
    const [begin, end] = rowRange(tensor);
    const accumulate = gradient.written.some(([from, to]) => from < end && to > begin);
    if (accumulate) this.complete(gradient, begin, end);
    else gradient.written.push([begin, end]);
    return { tensor: blockOf(gradient.tensor, tensor), accumulate };
  }

  /** Like `target`, for ops that can only add: zeros are put there first. */
  addTarget(tensor: Tensor): Tensor | null {
    const target = this.target(tensor);
    if (target && !target.accumulate) this.engine.run('fill', [0, target.tensor]);
    return target?.tensor ?? null;
  }

  /** Where to put a parameter's gradient. */
  parameter(parameter: Parameter): Target {
    return { tensor: parameter.gradient, accumulate: this.ledger.mark(parameter) };
  }

  /** Runs the backward of everything recorded, last first, and forgets it. */
  backward(): void {
    for (let op = this.recorded.pop(); op; op = this.recorded.pop()) {
      // A loss has no output; an op none of whose outputs was used has nothing to do.
      const wanted = op.outputs.length === 0 || op.outputs.some((output) => this.gradient(output));
      if (wanted) op.backward?.();
      for (const output of op.outputs) {
        if (output.root) continue; // its gradient goes with the op that made the root
        const gradient = this.gradients.get(output);
        if (gradient && !gradient.inPlace) this.engine.workspace.release(gradient.tensor);
        this.gradients.delete(output);
      }
      for (const activation of op.activations.toReversed()) this.engine.workspace.release(activation);
    }
  }

  /** Zeros where [begin, end) of a gradient holds nothing yet. */
  private complete(gradient: Gradient, begin: number, end: number): void {
    let at = begin;
    for (const [from, to] of gradient.written.toSorted((a, b) => a[0] - b[0])) {
      if (to <= at || from >= end) continue;
      if (from > at) this.engine.run('fill', [0, rowBlock(gradient.tensor, at, from - at)]);
      at = Math.max(at, to);
    }
    if (at < end) this.engine.run('fill', [0, rowBlock(gradient.tensor, at, end - at)]);
    gradient.written.push([begin, end]);
  }
}

/** The rows of its root that a tensor covers. */
function rowRange(tensor: Tensor): [number, number] {
  if (!tensor.root) return [0, tensor.shape[0]];
  const rowBytes = elements(tensor.shape.slice(1)) * dtypeBytes[tensor.dtype];
  const first = (tensor.offset - tensor.root.offset) / rowBytes;
  return [first, first + tensor.shape[0]];
}

/** The same block of a root's gradient as `tensor` is of the root. */
function blockOf(gradient: Tensor, tensor: Tensor): Tensor {
  const [begin, end] = rowRange(tensor);
  return tensor.root ? rowBlock(gradient, begin, end - begin) : gradient;
}
