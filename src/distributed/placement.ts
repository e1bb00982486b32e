import { LxmertError } from '../errors.js';
import { firstHost } from './nodeList.js';

/** How gradients are sent between ranks. */
export type Transport = 'mpi' | 'sockets';

/** This process as one of the ranks of a run. */
export interface Placement {
  readonly kind: 'rank';
  /** The number of this rank. Over MPI, `joinRanks` uses the numbers that MPI gives instead of `rank` and `ranks`. */
  readonly rank: number;
  readonly ranks: number;
  /** The number of this rank among those of its host, if the launcher gives it. */
  readonly localRank?: number | undefined;
  /** The program that started the processes, for messages. */
  readonly launcher: string;
  readonly transport: Transport;
  /**
   * The address at which rank 0 waits for the other ranks; undefined: rank 0 sends its address over MPI. If the port is
   * 0, rank 0 uses a free port and sends its number to the launcher.
   */
  readonly meeting?: { readonly host: string; readonly port: number } | undefined;
}

/** The task of a process: to make the run alone, to start the ranks, or to be one of the ranks. */
export type Role = { readonly kind: 'alone' } | { readonly kind: 'launch'; readonly ranks: number } | Placement;

type Environment = Readonly<Record<string, string | undefined>>;

export interface RoleOptions {
  /** `--ranks`, which has priority over the environment. */
  readonly ranks?: number | undefined;
  /** Whether MPI can be used, because `lxmert_mpi.so` exists. */
  readonly hasMpi: boolean;
  /** `--transport`. */
  readonly transport?: Transport | undefined;
}

/** The environment variables that the launcher of lxmert sets. */
export const launched = {
  rank: 'LXMERT_RANK',
  ranks: 'LXMERT_RANKS',
  meeting: 'LXMERT_MEETING',
  /** The file into which rank 0 writes its process id. Set only if the launcher of lxmert started `mpirun`. */
  pidFile: 'LXMERT_RANK_0_PID_FILE',
} as const;

/**
 * The role of this process, from the flag and from the variables of the launchers. A process in a Slurm allocation that
 * `srun` did not start makes its run alone.
 * @throws BAD_ARGUMENT naming the variable, or what is missing
 */
export function roleOf(env: Environment, { ranks, hasMpi, transport }: RoleOptions): Role {
  if (env[launched.rank] !== undefined) return ownPlacement(env);
  if (ranks === 1) return { kind: 'alone' };
  const found = find(env);
  if (ranks !== undefined && found?.ranks !== ranks) return { kind: 'launch', ranks };
  if (!found || found.ranks === 1) return { kind: 'alone' };
  const meeting = meetingIn(env) ?? found.meeting?.();
  const overMpi = transport === 'mpi' || (transport === undefined && hasMpi && found.speaksMpi);
  if (overMpi && !hasMpi)
    throw new LxmertError('BAD_ARGUMENT', `--transport mpi: lxmert_mpi.so is not built. ${installMpi}`);
  if (!overMpi && !meeting)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${found.launcher} started ${found.ranks} ranks, but says neither where they meet (MASTER_ADDR, MASTER_PORT) nor can ` +
        `they speak MPI: lxmert_mpi.so is not built. ${installMpi}`,
    );
  return {
    ...{ kind: 'rank', rank: found.rank, ranks: found.ranks, launcher: found.launcher, meeting },
    localRank:
      found.localRank === undefined || env[found.localRank] === undefined ? undefined : whole(env, found.localRank),
    transport: overMpi ? 'mpi' : 'sockets',
  };
}

const installMpi =
  'Install MPI with its headers (Debian: apt-get install openmpi-bin libopenmpi-dev; on a cluster: load its module) and run ' +
  '`npm run build:mpi`';

interface Found {
  readonly launcher: string;
  readonly rank: number;
  readonly ranks: number;
  readonly speaksMpi: boolean;
  /** The variable with the number of this rank among those of its host. */
  readonly localRank?: string;
  readonly meeting?: () => Placement['meeting'];
}

function find(env: Environment): Found | undefined {
  const pair = (rank: string, ranks: string): { rank: number; ranks: number } | undefined => {
    if (env[rank] === undefined || env[ranks] === undefined) return undefined;
    const place = { rank: whole(env, rank), ranks: whole(env, ranks) };
    if (place.ranks < 1 || place.rank >= place.ranks)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${rank} is ${place.rank} and ${ranks} is ${place.ranks}: expected a rank from 0 to one less`,
      );
    return place;
  };
  const torch = pair('RANK', 'WORLD_SIZE');
  if (torch) return { launcher: 'torchrun (RANK, WORLD_SIZE)', speaksMpi: false, localRank: 'LOCAL_RANK', ...torch };
  const openMpi = pair('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE');
  if (openMpi) return { launcher: 'mpirun', speaksMpi: true, localRank: 'OMPI_COMM_WORLD_LOCAL_RANK', ...openMpi };
  const hydra = pair('PMI_RANK', 'PMI_SIZE');
  const slurm = pair('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS');
  if (slurm) {
    const speaksMpi = env['PMIX_RANK'] !== undefined || hydra !== undefined;
    return { launcher: 'srun', speaksMpi, localRank: 'SLURM_LOCALID', ...slurm, meeting: () => slurmMeeting(env) };
  }
  return hydra && { launcher: 'mpiexec', speaksMpi: true, localRank: 'MPI_LOCALRANKID', ...hydra };
}

function whole(env: Environment, name: string): number {
  const text = env[name] ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new LxmertError('BAD_ARGUMENT', `${name} is ${JSON.stringify(text)}: expected a whole number`);
}

function meetingIn(env: Environment): Placement['meeting'] {
  const host = env['MASTER_ADDR'];
  if (host === undefined || host === '' || env['MASTER_PORT'] === undefined) return undefined;
  return { host, port: whole(env, 'MASTER_PORT') };
}

/** The first host of the step, and a port that all ranks of the step compute alike. Other steps have other ports. */
function slurmMeeting(env: Environment): Placement['meeting'] {
  const list = env['SLURM_STEP_NODELIST'] ?? env['SLURM_JOB_NODELIST'];
  if (list === undefined) return undefined;
  const [job, step] = [Number(env['SLURM_JOB_ID'] ?? 0), Number(env['SLURM_STEP_ID'] ?? 0)];
  return { host: firstHost(list), port: 20000 + ((job * 31 + step) % 12000) };
}

function ownPlacement(env: Environment): Placement {
  const [host = '', port = ''] = (env[launched.meeting] ?? '').split(' ');
  return {
    ...{ kind: 'rank', rank: whole(env, launched.rank), ranks: whole(env, launched.ranks), launcher: 'lxmert' },
    localRank: whole(env, launched.rank),
    ...{ transport: 'sockets', meeting: { host, port: Number(port) } },
  };
}
