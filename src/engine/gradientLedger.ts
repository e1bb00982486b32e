import { Ranges, type Range } from './ranges.js';
import { bytesOf, type Tensor } from './tensor.js';

/** A weight and the place of its gradient. */
export interface Parameter {
  readonly name: string;
  readonly tensor: Tensor;
  readonly gradient: Tensor;
}

/** Which parameter gradients the step has written so far, over all parts of an accumulated batch. */
export class GradientLedger {
  /** Bytes of the gradient arena by the offset of each gradient, in the order of their making. */
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
  mark({ gradient }: Parameter): boolean {
    const before = this.written.get(gradient.offset);
    this.written.set(gradient.offset, Math.max(before ?? 0, bytesOf(gradient)));
    return before !== undefined;
  }

  /** What is left of [begin, end) of the gradient arena, in bytes. */
  unwritten(begin: number, end: number): Range[] {
    const written = [...this.written].map(([offset, bytes]) => ({ begin: offset, end: offset + bytes }));
    return new Ranges(written).gaps(begin, end);
  }
}
