import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Options } from 'yargs';
import {
  joinRanks,
  launchByMpi,
  launched,
  launchRanks,
  roleOf,
  type Placement,
  type Ranks,
} from '../distributed/index.js';
import { mpiLibrary, useGpu } from '../engine/index.js';
import { integerOption, note, numberOption } from './command.js';

/** Options of a command that may run in several processes. */
export const rankOptions = {
  ranks: integerOption('ranks', {
    describe: 'number of processes on this machine that train together; 1: only this process, even under a launcher',
    min: 1,
    max: 4096,
  }),
  transport: {
    choices: ['mpi', 'sockets'],
    describe: 'how gradients are sent between ranks [mpi if a launcher of MPI started them, otherwise sockets]',
  },
  'bucket-size': numberOption('bucket-size', {
    describe: 'megabytes of gradients summed at once',
    min: 0.01,
    default: 16,
  }),
  'shard-optimizer': {
    type: 'boolean',
    default: false,
    describe: 'each rank stores and updates only its part of the optimizer state: less memory, the same bits',
  },
  'free-multiprocessors': integerOption('free-multiprocessors', {
    describe: 'on CUDA: multiprocessors that matrix products leave to the sums over ranks',
    min: 0,
    max: 64,
    default: 0,
  }),
  'rank-timeout': numberOption('rank-timeout', {
    describe: 'seconds after which a rank that does not answer ends the run',
    min: 1,
    default: 20,
  }),
  restarts: integerOption('restarts', {
    describe: 'with --ranks: how often a failed run is restarted from its newest checkpoint',
    min: 0,
    default: 0,
  }),
  'min-ranks': integerOption('min-ranks', {
    describe: 'with --restarts: each restart has one rank less, but at least this number',
    min: 1,
  }),
} as const satisfies Record<string, Options>;

/** Options of a command that may run in several processes and computes no gradients. */
export const sharingOptions = {
  ranks: rankOptions.ranks,
  transport: rankOptions.transport,
  'rank-timeout': rankOptions['rank-timeout'],
};

/** The values of `rankOptions`, or of some of them. */
export interface RankArguments {
  readonly ranks: number | undefined;
  readonly transport: string | undefined;
  readonly rankTimeout: number;
  readonly bucketSize?: number | undefined;
  readonly shardOptimizer?: boolean | undefined;
  readonly freeMultiprocessors?: number | undefined;
  readonly restarts?: number | undefined;
  readonly minRanks?: number | undefined;
}

/**
 * The role of this process: it trains alone, launches ranks, or is a rank. Products use the same multiprocessors in each role,
 * because their bits depend on it.
 * @throws BAD_ARGUMENT
 */
export function roleBy({ ranks, transport, freeMultiprocessors }: RankArguments) {
  if (freeMultiprocessors !== undefined) useGpu({ freeMultiprocessors });
  return roleOf(process.env, {
    ranks,
    transport: transport as 'mpi' | 'sockets' | undefined,
    hasMpi: mpiLibrary() !== undefined,
  });
}

/** Joins the other ranks of the run. */
export async function join(
  placement: Placement,
  { rankTimeout, bucketSize, shardOptimizer }: RankArguments,
  controls: { readonly stopping: (reason: string) => void; readonly saving: () => void },
): Promise<Ranks> {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  const ranks = await joinRanks(placement, {
    ...{ version, timeout: rankTimeout, ...controls },
    bucketBytes: bucketSize === undefined ? undefined : 4 * Math.round((bucketSize * 1e6) / 4),
    shardOptimizer,
    listening: (port) => {
      // The launcher of lxmert waits for this message before it starts the other ranks.
      process.send?.({ port });
      process.disconnect?.();
      const pidFile = process.env[launched.pidFile];
      if (pidFile !== undefined) writeFileSync(pidFile, `${process.pid}`);
    },
  });
  useGpu({ gpu: placement.localRank ?? ranks.localRank });
  return ranks;
}

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

/** Starts the ranks, with restarts if they are requested, and returns the exit code. */
export async function launch(ranks: number, { restarts = 0, minRanks, transport }: RankArguments): Promise<number> {
  let stopped = false;
  let forward: (signal: NodeJS.Signals) => void = () => undefined;
  for (const signal of forwarded)
    process.on(signal, () => {
      if (!signal.startsWith('SIGUSR')) stopped = true;
      forward(signal);
    });
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  for (let left = restarts, count = ranks; ; left--) {
    const isRestart = left < restarts;
    const { exitCode, silent } = await (transport === 'mpi' ? launchByMpi : launchRanks)({
      ranks: count,
      command: isRestart && !command.includes('--resume') ? [...command, '--resume'] : command,
      onSignal: (send) => (forward = send),
    });
    if (silent !== undefined) note(`lxmert: ${silent}`);
    const isUsage = exitCode === 2;
    if (exitCode === 0 || stopped || isUsage || left === 0) return exitCode;
    count = Math.max(minRanks ?? count, count - 1);
    note(
      `lxmert: the run failed; restarting it with ${count} ${count === 1 ? 'rank' : 'ranks'} (restart ${restarts - left + 1} of ${restarts})`,
    );
  }
}
