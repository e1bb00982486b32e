// Prints `N passed, N failed` from the file that `jest --json --outputFile=FILE` wrote.
import { readJson } from './lib/paths.mjs';

const results = readJson(process.argv[2] ?? '');
// A test file that does not even load fails no test of its own.
const failed = results ? results.numFailedTests + results.numRuntimeErrorTestSuites : 1;
process.stdout.write(`${results?.numPassedTests ?? 0} passed, ${failed} failed\n`);
