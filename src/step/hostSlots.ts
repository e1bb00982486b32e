import type { Engine } from '../engine/index.js';

/**
 * Host memory in which batches are staged, one block for each input slot of the device. The blocks are used again in
 * later steps, because the system provides new memory page by page, which takes longer than writing it.
 */
export class HostSlots {
  readonly #engine: Pick<Engine, 'hostMemory'>;
  readonly #slots = new Map<number, { buffer: ArrayBuffer; sent: Promise<unknown> }>();

  constructor(engine: Pick<Engine, 'hostMemory'>) {
    this.#engine = engine;
  }

  /** Returns the block of a slot, with at least this many bytes, after the previous batch in it has been copied. */
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
