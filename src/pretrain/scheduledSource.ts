import type { TaskName } from '../config/runConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { PretrainSource } from '../data/batches/pretrainSource.js';

export interface ScheduledSourceOptions {
  /** The data, prepared for some tasks. */
  readonly open: (tasks: readonly TaskName[]) => PretrainSource;
  /** Every task that the run ever has on; validation is prepared for these, throughout. */
  readonly all: readonly TaskName[];
  /** Tasks that are on in an epoch. */
  readonly tasksOn: (epoch: number) => readonly TaskName[];
  /** The epochs in which `tasksOn` may change. */
  readonly changes: readonly number[];
}

/**
 * Training data that are prepared, epoch by epoch, for the tasks that are then on: no word is masked while masked LM is
 * off, no sentence swapped while matching is. What an epoch gives depends on nothing but the epoch, so a run can be
 * resumed anywhere. Where nothing changes this is the source itself.
 */
export function scheduledSource({ open, all, tasksOn, changes }: ScheduledSourceOptions): PretrainSource {
  const base = open(all);
  const sources = new Map([[keyOf(all), base]]);
  const sourceOf = (epoch: number): PretrainSource => {
    const tasks = tasksOn(epoch);
    const source = sources.get(keyOf(tasks)) ?? open(tasks);
    sources.set(keyOf(tasks), source);
    return source;
  };
  if (changes.every((epoch) => sourceOf(epoch) === base)) return base;

  const owners = new WeakMap<Batch, PretrainSource>();
  const release = (batch: Batch) => (owners.get(batch) ?? base).release(batch);
  return {
    ...base,
    async *train(from) {
      for (let next = from; ;) {
        const source = sourceOf(next.epoch);
        for await (const batch of source.train(next)) {
          batch.parts.forEach((part) => owners.set(part, source));
          if (sourceOf(batch.position.epoch) !== source) {
            batch.parts.forEach(release);
            next = batch.position;
            break;
          }
          yield batch;
        }
      }
    },
    release,
  };
}

const keyOf = (tasks: readonly TaskName[]) => [...tasks].sort().join();
