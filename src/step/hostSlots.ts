import type { Engine } from '../engine/index.js';

/**
 * Host memory to stage batches in, one block for each input slot of the device, kept from step to step: fresh memory would be
 * handed out by the system page by page, each step anew, which costs more than filling it.
 */
export class HostSlots {
  private readonly slots = new Map<number, { buffer: ArrayBuffer; sent: Promise<unknown> }>();

  constructor(private readonly engine: Pick<Engine, 'hostMemory'>) {}

  /** The block of a slot, of at least so many bytes, once what was staged in it before has been copied. */
  async take(slot: number, bytes: number): Promise<ArrayBuffer> {
    const held = this.slots.get(slot);
    await held?.sent.catch(() => undefined); // whoever sent it sees that it failed
    const buffer = held && held.buffer.byteLength >= bytes ? held.buffer : this.engine.hostMemory(bytes);
    this.slots.set(slot, { buffer, sent: Promise.resolve() });
    return buffer;
  }

  /** The slot's block is being copied until `sent` settles. */
  lend(slot: number, sent: Promise<unknown>): void {
    const held = this.slots.get(slot);
    if (held) held.sent = sent;
  }
}
