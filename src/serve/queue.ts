import type { Picture, PictureQuestion } from '../finetune/index.js';

/** Computes some items at once, and gives one result for each item, in their order. */
export type Lane<In, Out> = (items: readonly In[]) => Promise<readonly Out[]>;

export interface QueueOptions {
  /** Most items of a batch, and most objects of their pictures together. One job may have more objects. */
  readonly maxBatch: number;
  readonly maxObjects: number;
  /** Called after each batch with its number of items, and the seconds that it took. */
  readonly onBatch?: ((items: number, seconds: number) => void) | undefined;
}

/** The jobs that wait for the engine. */
export interface Queue {
  /** Number of items that wait. */
  readonly waiting: number;
  /**
   * Computes the items of a request. Waiting requests of the same lane are computed together. A request whose signal is
   * aborted while it waits leaves the queue. Rejects with the reason of the signal, or with the error of the lane.
   */
  add<In extends PictureQuestion, Out>(
    lane: Lane<In, Out>,
    items: readonly In[],
    signal: AbortSignal,
  ): Promise<readonly Out[]>;
  /** Resolves when no job waits or is computed. */
  idle(): Promise<void>;
}

interface Job {
  readonly lane: Lane<PictureQuestion, unknown>;
  readonly items: readonly PictureQuestion[];
  readonly objects: number;
  readonly done: (results: readonly unknown[]) => void;
  readonly failed: (error: Error) => void;
}

/** The longest wait for further requests, in milliseconds, and as a share of the time of the last batch. */
const mostPatience = 20;
const patienceShare = 1 / 20;

export function createQueue({ maxBatch, maxObjects, onBatch }: QueueOptions): Queue {
  const jobs: Job[] = [];
  let running: Promise<void> | undefined;
  let last = { seconds: 0, expected: 1 };
  let arrived = (): void => undefined;
  const waiting = (): number => jobs.reduce((sum, { items }) => sum + items.length, 0);

  /**
   * Waits a short time for further requests. Clients that got the answers of the last batch often ask again at once. Without
   * this wait, the first of them would be computed alone.
   */
  const gather = (): Promise<void> | undefined => {
    const patience = Math.min(mostPatience, 1000 * last.seconds * patienceShare);
    if (patience < 1 || waiting() >= last.expected) return undefined;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        arrived = () => undefined;
        resolve();
      };
      const timer = setTimeout(end, patience);
      arrived = () => {
        if (waiting() >= last.expected) end();
      };
    });
  };

  /** Takes the first job, and those jobs of its lane that fit into the same batch. Other jobs keep their places. */
  const take = (): Job[] => {
    const [first] = jobs;
    const taken: Job[] = [];
    let [items, objects] = [0, 0];
    for (const job of [...jobs]) {
      if (job.lane !== first.lane) continue;
      if (taken.length > 0 && (items + job.items.length > maxBatch || objects + job.objects > maxObjects)) break;
      taken.push(job);
      items += job.items.length;
      objects += job.objects;
      jobs.splice(jobs.indexOf(job), 1);
    }
    return taken;
  };

  const compute = async (batch: readonly Job[]): Promise<void> => {
    try {
      const results = await batch[0].lane(batch.flatMap(({ items }) => items));
      let at = 0;
      for (const { items, done } of batch) done(results.slice(at, (at += items.length)));
    } catch (error) {
      // The request that caused the error must not make the others fail.
      if (batch.length === 1) batch[0].failed(error as Error);
      else for (const job of batch) await compute([job]);
    }
  };

  const work = async (): Promise<void> => {
    while (jobs.length > 0) {
      await gather();
      if (jobs.length === 0) break;
      const batch = take();
      const items = batch.reduce((sum, job) => sum + job.items.length, 0);
      const start = performance.now();
      await compute(batch);
      const seconds = (performance.now() - start) / 1000;
      last = { seconds, expected: Math.min(maxBatch, items + waiting()) };
      onBatch?.(items, seconds);
    }
    running = undefined;
  };

  return {
    get waiting() {
      return waiting();
    },
    add: (lane, items, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason as Error);
        const end = (finish: () => void): void => {
          signal.removeEventListener('abort', dropped);
          finish();
        };
        const job: Job = {
          lane: lane as Job['lane'],
          items,
          objects: items.reduce((sum, item) => sum + objectsOf(item), 0),
          done: (results) => end(() => resolve(results as never)),
          failed: (error) => end(() => reject(error)),
        };
        const dropped = (): void => {
          const place = jobs.indexOf(job);
          if (place >= 0) jobs.splice(place, 1);
          job.failed(signal.reason as Error);
        };
        signal.addEventListener('abort', dropped);
        jobs.push(job);
        arrived();
        running ??= Promise.resolve().then(work);
      }),
    idle: async () => {
      while (running) await running;
    },
  };
}

/** Objects of all pictures of a question. */
function objectsOf({ picture }: PictureQuestion): number {
  const pictures = (Array.isArray(picture) ? picture : [picture]) as readonly Picture[];
  return pictures.reduce((sum, { boxes }) => sum + boxes.length / 4, 0);
}
