import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { launched } from './placement.js';

export interface LaunchOptions {
  readonly ranks: number;
  /** Program and arguments of a rank. */
  readonly command: readonly string[];
  /** Must call `forward` with each signal that the ranks must receive. */
  readonly onSignal: (forward: (signal: NodeJS.Signals) => void) => void;
  /** Milliseconds in which the other ranks must end after one rank has failed. */
  readonly grace?: number | undefined;
}

export interface LaunchResult {
  readonly exitCode: number;
  /** A message for the case that signals ended all ranks, so that no rank could print one. */
  readonly silent?: string | undefined;
}

/**
 * Starts the ranks of a run as processes of this machine and waits for all of them. Signals are sent to rank 0, which
 * informs the other ranks. If a rank fails, the other ranks end by themselves. Ranks that have not ended after `grace`
 * are killed.
 */
export async function launchRanks({ ranks, command, onSignal, grace = 6000 }: LaunchOptions): Promise<LaunchResult> {
  const [program, ...args] = command;
  const start = (rank: number, meeting: string): ChildProcess =>
    spawn(program, args, {
      env: { ...process.env, [launched.rank]: `${rank}`, [launched.ranks]: `${ranks}`, [launched.meeting]: meeting },
      stdio: rank === 0 ? ['inherit', 'inherit', 'inherit', 'ipc'] : ['ignore', 'inherit', 'inherit'],
    });
  const first = start(0, '127.0.0.1 0');
  const children = [first];
  const ends = [endOf(first)];
  onSignal((signal) => void first.kill(signal));
  const port = await Promise.race([
    once(first, 'message').then(([message]) => (message as { readonly port: number }).port),
    ends[0].then(() => undefined),
  ]);
  if (port !== undefined)
    for (let rank = 1; rank < ranks; rank++) {
      const child = start(rank, `127.0.0.1 ${port}`);
      children.push(child);
      ends.push(endOf(child));
    }
  const failing = Promise.race(
    ends.map(async (end) => ((await end).ok ? new Promise<never>(() => undefined) : undefined)),
  );
  const all = Promise.all(ends);
  await Promise.race([all, failing.then(() => Promise.race([all, pause(grace, undefined, { ref: false })]))]);
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  const results = await all;
  const codes = results.map(({ code }) => code).filter((code) => code !== 0);
  return {
    exitCode: results[0].code !== 0 ? results[0].code : (codes[0] ?? 0),
    silent: results.every(({ signal }) => signal !== null)
      ? `all ranks were ended by ${[...new Set(results.map(({ signal }) => signal))].join(' and ')}`
      : undefined,
  };
}

interface End {
  readonly ok: boolean;
  readonly code: number;
  readonly signal: NodeJS.Signals | null;
}

async function endOf(child: ChildProcess): Promise<End> {
  const [code, signal] = (await once(child, 'exit').catch(() => [1, null])) as [number | null, NodeJS.Signals | null];
  return { ok: code === 0, code: code ?? 1, signal };
}
