import type { Engine } from '../engine/index.js';

/**
 * Host memory to stage batches in, one block for each input slot of the device. The blocks are kept from step to step: the
 * system hands fresh memory out page by page, which costs more than filling it.
 */
export class HostSlots {
  readonly #engine: Pick<Engine, 'hostMemory'>;
  readonly #slots = new Map<number, { buffer: ArrayBuffer; sent: Promise<unknown> }>();

  constructor(engine: Pick<Engine, 'hostMemory'>) {
    this.#engine = engine;
  }

  /** The block of a slot, with at least this many bytes, once the batch that was staged in it before has been copied. */
  async take(slot: number, bytes: number): Promise<ArrayBuffer> {
    const held = this.#slots.get(slot);
    await held?.sent.catch(() => undefined); // the caller of the upload handles its error
    const buffer = held && held.buffer.byteLength >= bytes ? held.buffer : this.#engine.hostMemory(bytes);
    this.#slots.set(slot, { buffer, sent: Promise.resolve() });
    return buffer;
  }

  /** Marks the slot's block as being copied until `sent` settles. */
  lend(slot: number, sent: Promise<unknown>): void {
    const held = this.#slots.get(slot);
    if (held) held.sent = sent;
  }
}
