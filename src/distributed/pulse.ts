/** Notices who has not been heard of for too long. */
export class Pulse<K> {
  readonly #heard = new Map<K, number>();
  readonly #timer: NodeJS.Timeout;
  #ticked = performance.now();

  /**
   * @param limit milliseconds of silence
   * @param beat called at least five times as often
   */
  constructor(limit: number, beat: () => void, silent: (key: K) => void) {
    const interval = Math.min(1000, limit / 5);
    this.#timer = setInterval(() => {
      const now = performance.now();
      // This process itself was held up, so it heard of nobody meanwhile.
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
