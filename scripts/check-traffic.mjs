// Counts the memory traffic of the CUDA kernels on the emulator (docs/emulator.md, Memory traffic). Each op of bench/cuda runs
// once, with the shapes of a small step of the base model. The counts are compared with the budgets in native/cuda/traffic.json.
//   node scripts/check-traffic.mjs               prints a table; fails if a kernel wastes more than its budget
//   node scripts/check-traffic.mjs --places      also prints the source lines at which each kernel wastes most
//   node scripts/check-traffic.mjs --update      writes the counts as the new budgets
//   node scripts/check-traffic.mjs --program FILE --only NAME    runs only the ops of this name, in a program that is built
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildInstrumented, canInstrument } from './lib/instrumented.mjs';
import { alone } from './lib/lock.mjs';
import { at, readJson } from './lib/paths.mjs';
import { outputOf, say, StepError } from './lib/process.mjs';
import { main } from './lib/setup.mjs';
import { count, MEASURES, problemsOf, tableOf } from './lib/traffic.mjs';

const budgetsPath = at('native', 'cuda', 'traffic.json');

const { values: options } = parseArgs({
  options: {
    places: { type: 'boolean', default: false },
    update: { type: 'boolean', default: false },
    program: { type: 'string' },
    only: { type: 'string', default: '' },
  },
});

async function build() {
  if (!canInstrument())
    throw new StepError('the compiler knows no -fsanitize=thread', { hint: 'Use g++ 10 or newer on x86-64 or ARM64.' });
  return alone(() => buildInstrumented('traffic', null), 'instrumented kernels');
}

/** Formats one op or kernel as a line. */
function write(rows) {
  const lines = rows.map((row) => {
    const counted = MEASURES.filter((measure) => row[measure] !== null);
    return `    ${JSON.stringify(row.key)}: ${JSON.stringify(Object.fromEntries(counted.map((m) => [m, row[m]])))}`;
  });
  const unit = '  "unit": "times the least: docs/emulator.md, Memory traffic",';
  writeFileSync(budgetsPath, `{\n${unit}\n  "kernels": {\n${lines.join(',\n')}\n  }\n}\n`);
}

await main(async () => {
  const program = options.program ?? (await build());
  const output = outputOf(program, ['--once', '--only', options.only]);
  if (output === null) throw new StepError(`${program} --once failed`, { hint: 'Run it to see why.' });
  const rows = count(output);
  process.stdout.write(tableOf(rows, options.places));
  if (options.update) write(rows);
  const problems = problemsOf(rows, readJson(budgetsPath)?.kernels ?? {}, options.only === '');
  problems.forEach((problem) => say(`traffic: ${problem}`));
  say(`traffic: ${rows.length} ops and kernels, ${problems.length} over their budget (native/cuda/traffic.json)`);
  if (problems.length > 0) process.exitCode = 1;
});
