type NumberArray = Int32Array | Uint32Array | Uint16Array | Uint8Array | Float32Array | Float64Array;

/** A typed array that grows at its end, for millions of numbers whose count is not known at first. */
export class Growable<T extends NumberArray> {
  #values: T;
  #length = 0;
  readonly #allocate: (length: number) => T;

  constructor(allocate: (length: number) => T, capacity = 1024) {
    this.#allocate = allocate;
    this.#values = allocate(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Returns a value that was added. */
  at(index: number): number {
    return this.#values[index];
  }

  push(value: number): void {
    if (this.#length === this.#values.length) this.#grow(this.#length + 1);
    this.#values[this.#length++] = value;
  }

  append(values: ArrayLike<number>): void {
    const end = this.#length + values.length;
    if (end > this.#values.length) this.#grow(end);
    this.#values.set(values, this.#length);
    this.#length = end;
  }

  /** Returns all added values in an array of exactly their number. */
  finish(): T {
    return this.#values.length === this.#length ? this.#values : this.#copy(this.#length, this.#length);
  }

  #grow(needed: number): void {
    this.#values = this.#copy(Math.max(needed, Math.ceil(this.#values.length * 1.5)), this.#length);
  }

  /** Copies values. (The result of `slice` would not be in shared memory.) */
  #copy(length: number, filled: number): T {
    const copy = this.#allocate(length);
    copy.set(this.#values.subarray(0, filled));
    return copy;
  }
}
