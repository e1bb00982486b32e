/**
 * Imported first by `main.ts`. Without a listener Node opens its debugger port on SIGUSR1, and SIGUSR2 ends the process;
 * batch systems such as Slurm send either as a warning. `pretrain` adds listeners that save; other commands ignore both.
 */
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
