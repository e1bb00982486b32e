#!/usr/bin/env node
import './ignoreUserSignals.js';
import { fileError } from '../formats/fileErrors.js';
import { exitCodes, runCli, type CommandTable } from './run.js';

/** The commands; each file exports `command`. */
const commands: CommandTable = {
  parity: () => import('./parity.js'),
  scenes: () => import('./scenes.js'),
  pretrain: () => import('./pretrain.js'),
  finetune: () => import('./finetune.js'),
  evaluate: () => import('./evaluate.js'),
  predict: () => import('./predict.js'),
  report: () => import('./report.js'),
  compare: () => import('./compare.js'),
  score: () => import('./score.js'),
  answers: () => import('./answers.js'),
  config: () => import('./config.js'),
  doctor: () => import('./doctor.js'),
  bench: () => import('./bench.js'),
  convert: () => import('./convert.js'),
  weights: () => import('./weights.js'),
  features: () => import('./features.js'),
  data: () => import('./data.js'),
  answer: () => import('./answer.js'),
  explain: () => import('./explain.js'),
  detector: () => import('./detector.js'),
  export: () => import('./export.js'),
  serve: () => import('./serve.js'),
};

// It is not an error if the reader closes the pipe, as in `lxmert … | head`. Other failures to write the result are errors.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || process.exitCode === exitCodes.failed) return;
  process.exitCode = exitCodes.failed;
  process.stderr.write(`lxmert: ${fileError(error, 'write', 'the result to stdout').message}\n`);
});
// A run continues if its progress cannot be written.
process.stderr.on('error', () => undefined);

const code = await runCli(process.argv.slice(2), commands);
process.exitCode ??= code;
