import type { SaveRequest } from '../train/index.js';
import { watchNpm } from './npmParents.js';

/** Exit codes of a run that a signal ended, as in shells: 128 + the number of the signal. */
const endings = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

type EndingSignal = keyof typeof endings;

/** Signals that ask for a checkpoint. */
const saving = ['SIGUSR1', 'SIGUSR2'] as const;

/**
 * Milliseconds in which a second signal counts as the same one. A terminal and `timeout` send a signal to the whole
 * process group, and a parent such as `npm start` forwards the same signal again.
 */
const sameSignal = 500;

export interface RunSignalOptions {
  /** If true, SIGHUP does not end the run. */
  readonly ignoreHangup: boolean;
  /** Called when the run must end, with the reason: the name of the signal, or another text. */
  readonly ending: (reason: string) => void;
  /** Called with the name of a signal that requests a checkpoint. */
  readonly saving: (signal: string) => void;
  /** Called when SIGHUP is ignored. */
  readonly ignored: () => void;
}

/** The signals of a process that trains. */
export interface RunSignals {
  /** Aborted when the run must end. */
  readonly signal: AbortSignal;
  readonly saveRequest: SaveRequest;
  /** The exit code if a signal ended the run; otherwise undefined. */
  readonly exitCode: number | undefined;
  /** Removes the listeners. */
  release(): void;
}

/**
 * Listens to signals. The first SIGINT, SIGTERM or SIGHUP aborts the run. A second SIGINT or SIGTERM ends the process
 * at once, even if its threads are blocked. SIGUSR1 and SIGUSR2 request a checkpoint. If npm or npx started the process
 * and has ended, the run ends as after SIGTERM. This is needed because npm and npx start the process through /bin/sh,
 * and some shells do not forward signals.
 */
export function listenToSignals(options: RunSignalOptions): RunSignals {
  const controller = new AbortController();
  const saveRequest: SaveRequest = { wanted: false };
  let exitCode: number | undefined;
  let at = 0;
  const end = (code: number, reason: string): void => {
    exitCode = code;
    at = performance.now();
    controller.abort();
    options.ending(reason);
  };
  const listeners = new Map<NodeJS.Signals, () => void>();
  for (const signal of Object.keys(endings) as EndingSignal[])
    listeners.set(signal, () => {
      if (signal === 'SIGHUP' && options.ignoreHangup) return options.ignored();
      if (exitCode === undefined) return end(endings[signal], signal);
      // A closing terminal may send SIGHUP more than once.
      if (signal === 'SIGHUP' || performance.now() - at < sameSignal) return;
      // process.exit would wait for a thread that reads from a pipe, or from a disk that does not answer.
      process.off(signal, listeners.get(signal)!);
      process.kill(process.pid, signal);
    });
  for (const signal of saving)
    listeners.set(signal, () => {
      saveRequest.wanted = true;
      options.saving(signal);
    });
  for (const [signal, listener] of listeners) process.on(signal, listener);
  const stopWatching = watchNpm(() => {
    if (exitCode === undefined) end(endings.SIGTERM, 'npm, which started this run, has ended (like SIGTERM)');
  });
  return {
    signal: controller.signal,
    saveRequest,
    get exitCode() {
      return exitCode;
    },
    release: () => {
      stopWatching();
      for (const [signal, listener] of listeners) process.off(signal, listener);
    },
  };
}
