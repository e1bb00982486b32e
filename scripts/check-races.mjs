// Searches for data races and misaligned accesses of the CUDA kernels on the emulator, even if they do not change a
// result (docs/emulator.md).
//   node scripts/check-races.mjs                      every kernel, in both precisions
//   node scripts/check-races.mjs test/cuda/step.cu    another program, which uses the device or has its own kernels
//   node scripts/check-races.mjs --library            builds the library instead, and prints how to use it
//   node scripts/check-races.mjs --objects            only compiles, and prints the object files of programs as JSON
import {
  buildInstrumented,
  buildRaceLibrary,
  canInstrument,
  instrumentedFlags,
  instrumentedObjects,
} from './lib/instrumented.mjs';
import { alone } from './lib/lock.mjs';
import { root } from './lib/paths.mjs';
import { runForeground, StepError } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

const [what = null, ...rest] = process.argv.slice(2);
const exclusively = (work) => alone(work, 'instrumented kernels');

await main(async () => {
  if (!canInstrument())
    throw new StepError('the compiler knows no -fsanitize=thread', { hint: 'Use g++ 10 or newer on x86-64 or ARM64.' });
  if (what === '--objects') {
    process.stdout.write(
      JSON.stringify({ ...(await exclusively(() => instrumentedObjects())), flags: instrumentedFlags() }),
    );
  } else if (what === '--library') {
    process.stdout.write(`export LXMERT_CUDA_LIBRARY=${await exclusively(buildRaceLibrary)}\n`);
  } else {
    const program = await exclusively(() => buildInstrumented('races', what));
    // The kernels run twice: first with aligned tensors, then with tensors at other addresses.
    const runs = what === null ? [['--check'], ['--check', '--displaced']] : [rest];
    for (const args of runs) process.exitCode ||= await runForeground(program, args, { cwd: root });
  }
});
