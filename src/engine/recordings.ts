import type { Engine, Recording } from './engine.js';

interface Kept<T> {
  readonly recording: Recording;
  readonly result: T;
}

/**
 * Recordings of repeated work, found by a key that contains everything on which its op calls depend. When there are too
 * many, the least recently used is forgotten; all are forgotten when an arena has been reserved.
 */
export class Recordings<T> {
  readonly #kept = new Map<string, Kept<T>>();
  readonly #engine: Engine;
  readonly #most: number;

  constructor(engine: Engine, most: number) {
    this.#engine = engine;
    this.#most = most;
  }

  /**
   * Enqueues `work`. Returns the result of `work`; for a replay, the result of the recorded call. With an observer, ops are called
   * one by one.
   */
  run(key: string, work: () => T): T {
    const engine = this.#engine;
    const kept = this.#kept;
    if (engine.observer) return work();
    const [oldest] = kept.values();
    if (oldest && !engine.isLive(oldest.recording)) this.#forget(kept.size);
    const found = kept.get(key) ?? this.#record(work);
    kept.delete(key);
    kept.set(key, found);
    engine.replay(found.recording);
    return found.result;
  }

  #record(work: () => T): Kept<T> {
    this.#forget(this.#kept.size - this.#most + 1);
    let result: T;
    const recording = this.#engine.record(() => (result = work()));
    return { recording, result: result! };
  }

  /** Forgets this number of the least recently used recordings. */
  #forget(count: number): void {
    for (const [key, { recording }] of [...this.#kept].slice(0, Math.max(0, count))) {
      this.#engine.forget(recording);
      this.#kept.delete(key);
    }
  }
}
