/** Sends heartbeats, and detects peers that have been silent for too long. */
export class Pulse<K> {
  readonly #heard = new Map<K, number>();
  readonly #timer: NodeJS.Timeout;
  #ticked = performance.now();

  /**
   * @param limit milliseconds of silence
   * @param beat sends a heartbeat; called at least five times in `limit` milliseconds
   * @param silent called with the key of a peer that has been silent for longer than `limit`
   */
  constructor(limit: number, beat: () => void, silent: (key: K) => void) {
    const interval = Math.min(1000, limit / 5);
    this.#timer = setInterval(() => {
      const now = performance.now();
      // If this process itself did not run for a while, it could not receive heartbeats, so all peers get the time
      // again.
      const heldUp = now - this.#ticked > 3 * interval;
      this.#ticked = now;
      beat();
      for (const [key, at] of this.#heard)
        if (heldUp) this.#heard.set(key, now);
        else if (now - at > limit) silent(key);
    }, interval);
  }

  heard(key: K): void {
    this.#heard.set(key, performance.now());
  }

  forget(key: K): void {
    this.#heard.delete(key);
  }

  end(): void {
    clearInterval(this.#timer);
  }
}
