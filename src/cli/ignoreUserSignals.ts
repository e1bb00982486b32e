/**
 * `main.ts` imports this file first. Without a listener, Node opens its debugger port on SIGUSR1, and SIGUSR2 ends the
 * process. Batch systems such as Slurm send one of these signals as a warning. Commands that train add listeners that
 * save a checkpoint; other commands ignore both signals.
 */
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
