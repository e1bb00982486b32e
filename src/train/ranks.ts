import { LxmertError } from '../errors.js';
import type { Communicator } from '../step/gradientParts.js';
import type { BatchShare } from '../data/batches/batching.js';

/** A request for a checkpoint, shared by the caller and the run. */
export interface SaveRequest {
  /** The caller sets it to true; the run then saves after the current step, and sets it back to false. */
  wanted: boolean;
}

/**
 * The processes that make one run together, as the trainer uses them. All ranks make the same calls of `exchange` and
 * `agree` in the same order. A call rejects on all ranks if one of them has ended or failed.
 */
export interface TrainRanks {
  readonly rank: number;
  readonly ranks: number;
  readonly communicator: Communicator;
  readonly bucketBytes?: number | undefined;
  /** Whether each rank updates and stores the optimizer's state of a slice of the parameters only. */
  readonly shardOptimizer?: boolean | undefined;
  /**
   * A signal that is aborted on all ranks at the same call of `agree`. Before `begin`, a process signal aborts it at
   * once.
   */
  readonly signal: AbortSignal;
  readonly saveRequest: SaveRequest;
  /** For example `rank 1 (host b)`. */
  nameOf(rank: number): string;
  /** Gives every rank the values of all ranks, in their order. Values are sent as JSON. */
  exchange<T>(name: string, value: T): Promise<readonly T[]>;
  /** Gives rank 0 the values of all ranks, in their order. The other ranks receive an empty list. */
  gather<T>(name: string, value: T): Promise<readonly T[]>;
  /**
   * Applies the signals and the requests for a checkpoint that any rank has received. All ranks apply the same ones.
   */
  agree(): Promise<void>;
  /** After this call, signals have no effect until the next call of `agree`. */
  begin(): Promise<void>;
  /** Marks an error that all ranks throw, so that the message does not name one rank as the cause. */
  common(error: LxmertError): LxmertError;
}

/** Joins the values of all ranks into one list: the first value of rank 0, the first value of rank 1, and so on. */
export async function gatherTurns<T>(
  ranks: TrainRanks | undefined,
  name: string,
  own: readonly T[],
): Promise<readonly T[]> {
  if (!ranks) return own;
  return inTurns(await ranks.exchange(name, own));
}

/** Joins one list for each rank into one list: the first value of each list, then the second of each, and so on. */
export function inTurns<T>(all: readonly (readonly T[])[]): readonly T[] {
  const total = all.reduce((sum, list) => sum + list.length, 0);
  return Array.from({ length: total }, (_, i) => all[i % all.length][Math.floor(i / all.length)]);
}

/**
 * Gives the items of this rank one after the other. All ranks wait for each other before each item. So a signal has its
 * effect on all ranks between the same two items, and ends the list.
 */
export async function* inStep<T>(ranks: TrainRanks | undefined, items: AsyncIterable<T>): AsyncGenerator<T> {
  if (!ranks) {
    yield* items;
    return;
  }
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await iterator.next();
      const more = await ranks.exchange('more', !next.done);
      await ranks.agree();
      if (!more.includes(true) || ranks.signal.aborted) return;
      if (!next.done) yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

/** Named values that must be the same on all ranks when a run begins. */
export type Facts = Readonly<Record<string, unknown>>;

/**
 * Compares the facts of all ranks.
 * @throws BAD_CONFIG on all ranks, naming the facts that differ from those of rank 0
 */
export async function demandSameFacts(ranks: TrainRanks, facts: Facts): Promise<void> {
  const [first, ...others] = await ranks.exchange('facts', facts);
  const lines = others.flatMap((theirs, i) => {
    const names = [...new Set([...Object.keys(first), ...Object.keys(theirs)])];
    return names
      .filter((name) => JSON.stringify(first[name]) !== JSON.stringify(theirs[name]))
      .map(
        (name) =>
          `${name}: ${shown(theirs[name])} on ${ranks.nameOf(i + 1)}, ${shown(first[name])} on ${ranks.nameOf(0)}`,
      );
  });
  if (lines.length === 0) return;
  const most = 12;
  const rest = lines.length > most ? [`and ${lines.length - most} more`] : [];
  throw ranks.common(
    new LxmertError(
      'BAD_CONFIG',
      `the ranks do not agree; start all of them with the same program, settings and data:\n  ${[...lines.slice(0, most), ...rest].join('\n  ')}`,
    ),
  );
}

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));

/** The share of this process in every global batch; undefined: this process has the complete batch, as one part. */
export function batchShare(
  { gradientParts }: { readonly gradientParts?: number | undefined },
  ranks: TrainRanks | undefined,
): BatchShare | undefined {
  if (!ranks) return gradientParts === undefined ? undefined : { rank: 0, ranks: 1, parts: gradientParts };
  return { rank: ranks.rank, ranks: ranks.ranks, parts: gradientParts };
}
