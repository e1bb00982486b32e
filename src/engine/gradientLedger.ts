import { Ranges, type Range } from './ranges.js';
import { bytesOf, type Tensor } from './tensor.js';

/** A weight, with the tensor of its gradient. */
export interface Parameter {
  readonly name: string;
  readonly tensor: Tensor;
  readonly gradient: Tensor;
}

/** Records which gradients of parameters the step has written so far, over all parts of an accumulated batch. */
export class GradientLedger {
  /** Bytes of each gradient by its offset in the gradient arena, in the order in which they were first written. */
  readonly #written: Map<number, number>;
  /** The number of the last mark of each gradient, by its offset. Marks are counted from 1 in each ledger. */
  readonly #lastMarks = new Map<number, number>();
  /** Number of marks since this ledger was made. */
  marks = 0;

  /** @param before a ledger whose marks are copied */
  constructor(before?: GradientLedger) {
    this.#written = new Map(before ? before.#written : []);
  }

  /** A key that is equal for equal marks made in the same order. */
  get key(): string {
    return [...this.#written.keys()].join(' ');
  }

  /** Marks a gradient as written. Returns true if it had been written before. */
  mark({ gradient }: Parameter): boolean {
    const before = this.#written.get(gradient.offset);
    this.#lastMarks.set(gradient.offset, ++this.marks);
    this.#written.set(gradient.offset, Math.max(before ?? 0, bytesOf(gradient)));
    return before !== undefined;
  }

  /** The number of the last mark of a gradient in the bytes [begin, end); 0 if there is none. */
  lastMarkWithin(begin: number, end: number): number {
    const marks = [...this.#lastMarks].filter(
      ([offset]) => offset < end && offset + (this.#written.get(offset) ?? 0) > begin,
    );
    return Math.max(0, ...marks.map(([, mark]) => mark));
  }

  /** The parts of [begin, end) of the gradient arena, in bytes, that have not been written. */
  unwritten(begin: number, end: number): Range[] {
    const written = [...this.#written].map(([offset, bytes]) => ({ begin: offset, end: offset + bytes }));
    return new Ranges(written).gaps(begin, end);
  }
}
