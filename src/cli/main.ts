#!/usr/bin/env node
import { fileError } from '../formats/fileErrors.js';
import { exitCodes, runCli, type CommandTable } from './run.js';

/** One line a command; its file exports `command`. */
const commands: CommandTable = {
  parity: () => import('./parity.js'),
  scenes: () => import('./scenes.js'),
  pretrain: () => import('./pretrain.js'),
  finetune: () => import('./finetune.js'),
  evaluate: () => import('./evaluate.js'),
  predict: () => import('./predict.js'),
  report: () => import('./report.js'),
  score: () => import('./score.js'),
  answers: () => import('./answers.js'),
  config: () => import('./config.js'),
  doctor: () => import('./doctor.js'),
  bench: () => import('./bench.js'),
};

// A reader that has seen enough, as in `lxmert … | head`, is no error; a result that could not be written is one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || process.exitCode === exitCodes.failed) return;
  process.exitCode = exitCodes.failed;
  process.stderr.write(`lxmert: ${fileError(error, 'write', 'the result to stdout').message}\n`);
});
// Work goes on when nobody can be told how far it is.
process.stderr.on('error', () => undefined);

const code = await runCli(process.argv.slice(2), commands);
process.exitCode ??= code;
