import type { Placement, Ranks } from '../distributed/index.js';
import { note } from './command.js';
import { join, launch, roleBy, type RankArguments } from './rankOptions.js';
import { listenToSignals } from './runSignals.js';

/** The work of a process that is one of several ranks. */
export interface RankWork<T> {
  readonly ignoreHangup?: boolean | undefined;
  /** @param isFirst whether this is rank 0, which prints and writes */
  readonly work: (ranks: Ranks, isFirst: boolean) => Promise<T>;
  /** Called after the work, when all ranks have finished. */
  readonly finish?: ((result: T, ranks: Ranks) => void) | undefined;
  /** Called only on rank 0: a rank has received a signal. */
  readonly stopping: (reason: string) => void;
  readonly saving?: (() => void) | undefined;
  /** Called before anything is printed, and at the end. */
  readonly release?: (() => void) | undefined;
}

/** Milliseconds in which a rank must end after the run has failed on another rank. */
const failedGrace = 5000;

/**
 * Joins the other ranks and works with them. A signal to any rank ends the work of all of them. So does an error on any
 * rank: one rank throws it, and the others set their exit code.
 */
export async function asRank<T>(args: RankArguments, placement: Placement, use: RankWork<T>): Promise<void> {
  const shown: { rank?: number } = {};
  const isFirst = (): boolean => (shown.rank ?? placement.rank) === 0;
  let ranks: Ranks | undefined;
  let told = false;
  const stop = (reason: string, code: number): void => ranks?.requestStop(reason, code);
  const signals = listenToSignals({
    ignoreHangup: use.ignoreHangup ?? false,
    ending: (reason) => stop(reason, signals.exitCode ?? 1),
    saving: () => ranks?.requestSave(),
    ignored: () => undefined,
  });
  try {
    ranks = await join(placement, args, {
      stopping: (reason) => {
        if (isFirst()) use.stopping(reason);
      },
      saving: () => {
        if (isFirst()) use.saving?.();
      },
    });
    shown.rank = ranks.rank;
    if (signals.exitCode !== undefined) stop('a signal', signals.exitCode);
    void ranks.failed.then((error) => {
      // Ends a rank that hangs, if it does not end in another way.
      setTimeout(() => {
        if (isFirst() && !told) note(`lxmert: ${error.message}`);
        process.exit(1);
      }, failedGrace).unref();
    });
    const result = await use.work(ranks, isFirst());
    await ranks.close();
    use.release?.();
    use.finish?.(result, ranks);
  } catch (error) {
    use.release?.();
    if (!ranks) throw error;
    if (ranks.stopCode !== undefined && ranks.signal.aborted && error === ranks.signal.reason) {
      await ranks.close().catch(() => undefined);
      process.exit(ranks.stopCode);
    }
    const verdict = await ranks.conclude(error);
    told = true;
    if (verdict.prints) throw verdict.error;
    process.exitCode = 1;
  } finally {
    use.release?.();
    signals.release();
  }
}

/**
 * Does the work alone, or as one of several ranks; or starts the ranks of this machine, which do the work.
 * @param work computes a result together with the other ranks
 * @param finish gets the result, in a process alone or on rank 0
 */
export async function inRanks<T>(
  args: RankArguments,
  work: (ranks: Ranks | undefined) => Promise<T>,
  finish: (result: T) => void | Promise<void>,
): Promise<void> {
  const role = roleBy(args);
  if (role.kind === 'launch') process.exitCode = await launch(role.ranks, args);
  else if (role.kind === 'alone') await finish(await work(undefined));
  else
    await asRank(args, role, {
      // Rank 0 writes before the ranks close their connections, so that an error in writing ends all ranks.
      work: async (ranks, isFirst) => {
        const result = await work(ranks);
        if (isFirst) await finish(result);
      },
      stopping: (reason) => note(`${reason}: stops`),
    });
}
