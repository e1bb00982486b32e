// `node scripts/tally.mjs FILE [FAILED_STEPS]` prints `N passed, N failed` from the file that
// `jest --json --outputFile=FILE` wrote. Other steps that failed are added.
import { readJson } from './lib/paths.mjs';

const [file, failedSteps = '0'] = process.argv.slice(2);
const results = readJson(file ?? '');
// A test file that cannot be loaded has no failed test; it counts as one.
const failedTests = results ? results.numFailedTests + results.numRuntimeErrorTestSuites : 0;
process.stdout.write(`${results?.numPassedTests ?? 0} passed, ${failedTests + Number(failedSteps)} failed\n`);
