// Kernels on the emulator, and what they do wrong that does not show: data races and misaligned accesses (docs/emulator.md).
//   node scripts/check-races.mjs                      every kernel, in both precisions
//   node scripts/check-races.mjs test/cuda/step.cu    a program with its own kernels, or on the device
//   node scripts/check-races.mjs --objects            only compiles; prints what programs are made of, as JSON
import { alone } from './lib/lock.mjs';
import { root } from './lib/paths.mjs';
import { runForeground, StepError } from './lib/process.mjs';
import { buildRaceProgram, canInstrument, raceObjects } from './lib/races.mjs';
import { main } from './lib/setup.mjs';

const [what = null, ...rest] = process.argv.slice(2);

await main(async () => {
  if (!canInstrument())
    throw new StepError('the compiler knows no -fsanitize=thread', { hint: 'Use g++ 10 or newer on x86-64 or ARM64.' });
  if (what === '--objects') {
    process.stdout.write(JSON.stringify(await alone(() => raceObjects(), 'search for races')));
    return;
  }
  const program = await alone(() => buildRaceProgram(what), 'search for races');
  process.exitCode = await runForeground(program, what === null ? ['--check'] : rest, { cwd: root });
});
