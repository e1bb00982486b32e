#!/usr/bin/env node
import { runCli, type CommandTable } from './run.js';

/** One line a command; its file exports `command`. */
const commands: CommandTable = {
  parity: () => import('./parity.js'),
  scenes: () => import('./scenes.js'),
  pretrain: () => import('./pretrain.js'),
  report: () => import('./report.js'),
  config: () => import('./config.js'),
  doctor: () => import('./doctor.js'),
  bench: () => import('./bench.js'),
};

// A reader that has seen enough, as in `lxmert … | head`, is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await runCli(process.argv.slice(2), commands);
