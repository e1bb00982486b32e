import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import type { LaunchOptions, LaunchResult } from './launch.js';
import { launched } from './placement.js';

/**
 * Seconds of `odls_base_sigkill_timeout`. If a rank ends with an error, mpirun waits for this time, sends SIGTERM to
 * the other ranks, waits for the same time again, and sends SIGKILL. The default of mpirun is 1 s, but rank 0 may need
 * more time to print the message of the run.
 */
const killTimeout = 4;

/**
 * Starts the ranks by `mpirun` and waits for its end. Signals are sent to rank 0, which informs the other ranks. They
 * are not sent to mpirun, because mpirun would kill the ranks soon after a signal.
 * @throws NO_DEVICE when there is no mpirun of Open MPI
 */
export async function launchByMpi({ ranks, command, onSignal }: LaunchOptions): Promise<LaunchResult> {
  const version = spawnSync('mpirun', ['--version'], { encoding: 'utf8' });
  if (version.error || !version.stdout.includes('Open MPI'))
    throw new LxmertError(
      'NO_DEVICE',
      '--transport mpi: there is no mpirun of Open MPI on PATH; install it (Debian: apt-get install openmpi-bin), start the ' +
        'ranks by the MPI that you have, or use --transport sockets',
    );
  const folder = await mkdtemp(join(tmpdir(), 'lxmert-ranks-'));
  const pidFile = join(folder, 'rank-0');
  const child = spawn(
    'mpirun',
    [
      ...['-np', `${ranks}`, '--oversubscribe', '--bind-to', 'none'],
      ...['--mca', 'odls_base_sigkill_timeout', `${killTimeout}`, ...command],
    ],
    {
      stdio: 'inherit',
      // Signals of the terminal then reach this process and not mpirun.
      detached: true,
      env: {
        ...process.env,
        [launched.pidFile]: pidFile,
        OMPI_ALLOW_RUN_AS_ROOT: '1',
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
      },
    },
  );
  onSignal((signal) => void forward(signal));
  const forward = async (signal: NodeJS.Signals): Promise<void> => {
    const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
    if (pid > 0) process.kill(pid, signal);
    else child.kill(signal);
  };
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return { exitCode: code ?? 128 + (signal ? constants.signals[signal] : 1) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
