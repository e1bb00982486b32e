import type { Dropout } from './encodeCall.js';
import type { Engine } from './engine.js';
import { GradientLedger, type Parameter } from './gradientLedger.js';
import { Ranges } from './ranges.js';
import type { DType, Tensor } from './tensor.js';
import { bytesOf, dtypeBytes, elements, rowBlock } from './tensor.js';

/** Where to put a gradient, and whether to add it to the values that are already there. */
export interface Target {
  readonly tensor: Tensor;
  readonly accumulate: boolean;
}

interface Recorded {
  readonly outputs: readonly Tensor[];
  readonly activations: readonly Tensor[];
  readonly backward: (() => void) | null;
}

/** The records of two pieces of work that run at the same time. */
interface Pair {
  readonly lanes: readonly Entry[][];
}

type Entry = Recorded | Pair;

interface Gradient {
  readonly tensor: Tensor;
  /**
   * Whether the gradient is in the memory of the activation itself: a loss overwrites its logits with their gradient.
   */
  readonly inPlace: boolean;
  /** Rows of the root that have been written. */
  readonly written: Ranges;
}

export interface TapeOptions {
  /** If false, only the forward pass runs. No tensors are kept for a backward pass, and dropout is off. */
  readonly training: boolean;
  /**
   * If false, the backward pass computes only gradients of activations. Gradients of parameters are not computed,
   * except if an op computes them together with the gradient of its input; their values are then undefined. Default
   * true.
   */
  readonly parameterGradients?: boolean | undefined;
  readonly ledger?: GradientLedger;
  /** Called after the backward pass of each op. */
  readonly afterBackward?: (() => void) | undefined;
}

/**
 * Records the backward pass of each op. Activations are taken from the bottom of the workspace and released when the
 * backward pass no longer needs them. Gradients of activations are at the top of the workspace, from their first use
 * until the backward pass of the op that made the activation has run.
 */
export class Tape {
  readonly training: boolean;
  readonly parameterGradients: boolean;
  readonly #ledger: GradientLedger;
  readonly #afterBackward: () => void;
  /** Records of the tape, or of the lane that is being recorded. */
  #recorded: Entry[] = [];
  readonly #gradients = new Map<Tensor, Gradient>();
  /** Activations of the op that is being recorded; in a forward-only pass all activations. */
  #pending: Tensor[] = [];
  readonly #withoutGradient = new WeakSet<Tensor>();
  #instances = 0;
  /** The tensors made in the lane whose backward pass is running. */
  #madeInLane: ReadonlySet<Tensor> | null = null;

  constructor(
    readonly engine: Engine,
    options: TapeOptions,
  ) {
    this.training = options.training;
    this.parameterGradients = options.parameterGradients ?? true;
    this.#ledger = options.ledger ?? new GradientLedger();
    this.#afterBackward = options.afterBackward ?? (() => undefined);
  }

  /** Memory until the backward pass of the op that is being recorded. Default type: that of activations. */
  activation(shape: readonly number[], dtype: DType = this.engine.activationDType): Tensor {
    const tensor = this.engine.workspace.allocate(shape, dtype, 'bottom');
    this.#pending.push(tensor);
    return tensor;
  }

  /** Memory like `activation`, for data without a gradient. */
  data(shape: readonly number[], dtype: DType): Tensor {
    const tensor = this.activation(shape, dtype);
    this.#withoutGradient.add(tensor);
    return tensor;
  }

  /** Memory only for the call of `use`. */
  temporary<T>(shape: readonly number[], use: (tensor: Tensor) => T, dtype: DType = this.engine.activationDType): T {
    const tensor = this.engine.workspace.allocate(shape, dtype, 'top');
    const result = use(tensor);
    this.engine.workspace.release(tensor);
    return result;
  }

  /** A buffer in which several ops write blocks of rows. It must be made before these ops are recorded. */
  buffer(shape: readonly number[]): Tensor {
    const tensor = this.activation(shape);
    this.record([tensor], null);
    return tensor;
  }

  /**
   * Ends an op. Its backward pass runs after the gradients of its outputs are known. It does not run if no output has a
   * gradient.
   */
  record(outputs: readonly Tensor[], backward: (() => void) | null): void {
    if (!this.training) return;
    this.#recorded.push({ outputs, activations: this.#pending, backward });
    this.#pending = [];
  }

  /**
   * Runs a layer whose input is read by no other op. In a forward-only pass its input and all its tensors except the
   * output are released at once; otherwise the backward pass releases them.
   */
  through(x: Tensor, layer: (x: Tensor) => Tensor): Tensor {
    if (this.training) return layer(x);
    const before = this.#pending;
    this.#pending = [];
    const out = layer(x);
    const kept = out.root ?? out;
    const isDead = (tensor: Tensor): boolean => tensor !== kept && (tensor === x || !before.includes(tensor));
    const all = [...before, ...this.#pending];
    this.#pending = all.filter((tensor) => !isDead(tensor));
    for (const tensor of all.filter(isDead)) this.engine.workspace.release(tensor);
    return out;
  }

  /**
   * Runs two pieces of work at the same time if the device can, and later their backward passes. Neither may use tensors
   * that the other makes or changes.
   */
  beside<A, B>(first: () => A, second: () => B): [A, B] {
    const before = this.#recorded;
    const lanes: Entry[][] = [];
    const inLane = <T>(work: () => T): T => {
      lanes.push((this.#recorded = []));
      return work();
    };
    const made: Partial<[A, B]> = [];
    try {
      this.engine.beside(
        () => (made[0] = inLane(first)),
        () => (made[1] = inLane(second)),
      );
    } finally {
      this.#recorded = before;
    }
    if (this.training) this.#recorded.push({ lanes });
    return made as [A, B];
  }

  /** Ends an op that is a loss: its backward pass overwrites `logits` with their gradient. */
  recordLoss(logits: Tensor, backward: () => void): void {
    this.record([], () => {
      backward();
      this.#gradients.set(logits, {
        tensor: logits,
        inPlace: true,
        written: new Ranges([{ begin: 0, end: logits.shape[0] }]),
      });
    });
  }

  /**
   * The dropout of the next op that has one. The ops are numbered in the order of the model, independent of the batch.
   */
  dropout(p: number, rowIds: Tensor): Dropout {
    const instance = this.#instances++;
    return this.training && p > 0 ? { p, instance, rowIds } : { p: 0, instance, rowIds: null };
  }

  /** The gradient of an output, in the backward pass of its op. Null if no op used the output. */
  gradient(tensor: Tensor): Tensor | null {
    const gradient = this.#gradients.get(tensor.root ?? tensor);
    const [begin, end] = rowRange(tensor);
    if (!gradient?.written.overlaps(begin, end)) return null;
    this.#complete(gradient, begin, end);
    return blockOf(gradient.tensor, tensor);
  }

  /** Where to put the gradient of an input. Null for data, which has no gradient. */
  target(tensor: Tensor): Target | null {
    const root = tensor.root ?? tensor;
    if (root.arena !== 'workspace' || this.#withoutGradient.has(root)) return null;
    let gradient = this.#gradients.get(root);
    if (!gradient) {
      // Tensors made before the lanes are shared, so the place must be free for both lanes.
      const forAll = this.#madeInLane?.has(root) === false;
      const place = this.engine.workspace.allocate(root.shape, root.dtype, 'top', { forAll });
      gradient = { tensor: place, inPlace: false, written: new Ranges() };
      this.#gradients.set(root, gradient);
    }
    const [begin, end] = rowRange(tensor);
    const accumulate = gradient.written.overlaps(begin, end);
    if (accumulate) this.#complete(gradient, begin, end);
    else gradient.written.add(begin, end);
    return { tensor: blockOf(gradient.tensor, tensor), accumulate };
  }

  /** Like `target`, for ops that can only add to the gradient: new memory is filled with zeros first. */
  addTarget(tensor: Tensor): Tensor | null {
    const target = this.target(tensor);
    if (target && !target.accumulate) this.engine.run('fill', [0, target.tensor]);
    return target?.tensor ?? null;
  }

  /** Where to put the gradient of a parameter. */
  parameter(parameter: Parameter): Target {
    return { tensor: parameter.gradient, accumulate: this.#ledger.mark(parameter) };
  }

  /** Runs the backward passes of all recorded ops, in reverse order, and empties the record. */
  backward(): void {
    this.#unwind(this.#recorded);
  }

  #unwind(entries: Entry[]): void {
    for (let entry = entries.pop(); entry; entry = entries.pop())
      if ('lanes' in entry) this.#unwindPair(entry.lanes);
      else this.#unwindOp(entry);
  }

  #unwindPair([first, second]: Pair['lanes']): void {
    const unwound = (entries: Entry[]) => (): void => {
      this.#madeInLane = new Set(entries.flatMap((entry) => ('outputs' in entry ? entry.outputs : [])));
      this.#unwind(entries);
      this.#madeInLane = null;
    };
    this.engine.beside(unwound(second), unwound(first));
  }

  #unwindOp({ outputs, activations, backward }: Recorded): void {
    // A loss has no output. The backward pass of an op whose outputs are not used does not run.
    const wanted = outputs.length === 0 || outputs.some((output) => this.gradient(output));
    if (wanted) {
      backward?.();
      this.#afterBackward();
    }
    for (const output of outputs) {
      if (output.root) continue; // released together with the gradient of its root
      const gradient = this.#gradients.get(output);
      if (gradient && !gradient.inPlace) this.engine.workspace.release(gradient.tensor);
      this.#gradients.delete(output);
    }
    for (const activation of activations.toReversed()) this.engine.workspace.release(activation);
  }

  /** Fills the rows of [begin, end) that have not been written with zeros. */
  #complete({ tensor, written }: Gradient, begin: number, end: number): void {
    for (const gap of written.gaps(begin, end))
      this.engine.run('fill', [0, rowBlock(tensor, gap.begin, gap.end - gap.begin)]);
    written.add(begin, end);
  }
}

/** The rows of its root that a tensor covers. */
function rowRange(tensor: Tensor): [number, number] {
  if (!tensor.root) return [0, tensor.shape[0]];
  const rowBytes = elements(tensor.root.shape.slice(1)) * dtypeBytes[tensor.dtype];
  const first = (tensor.offset - tensor.root.offset) / rowBytes;
  return [first, first + bytesOf(tensor) / rowBytes];
}

/** The block of a root's gradient that belongs to a block of the root. */
function blockOf(gradient: Tensor, tensor: Tensor): Tensor {
  const [begin, end] = rowRange(tensor);
  return tensor.root ? { ...rowBlock(gradient, begin, end - begin), shape: tensor.shape } : gradient;
}
