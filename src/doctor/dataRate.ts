import type { TrainSource } from '../train/index.js';

/** The first batches are not measured, because they start threads and allocate memory that later batches use again. */
const FIRST = 6;
const MOST_BATCHES = 40;
const MOST_SECONDS = 4;

/** The rate at which the batches of a run are made while no device computes. */
export interface DataRate {
  readonly samplesPerSecond: number;
  readonly batches: number;
}

/** Makes the first batches of a run without training steps between them, and measures their rate. */
export async function measureData(source: TrainSource, batchSize: number): Promise<DataRate> {
  let [taken, started] = [0, 0];
  for await (const { parts } of source.train({ epoch: 0, batch: 0 })) {
    parts.forEach((part) => source.release(part));
    taken++;
    if (taken === FIRST) started = performance.now();
    const seconds = (performance.now() - started) / 1000;
    if (taken >= FIRST + MOST_BATCHES || (taken > FIRST && seconds > MOST_SECONDS)) break;
  }
  const seconds = (performance.now() - started) / 1000;
  const batches = taken - FIRST;
  return { samplesPerSecond: (batches * batchSize) / seconds, batches };
}
