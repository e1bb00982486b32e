import { bounds, runParity } from '../parity/parity.js';
import { deviceNames, precisionNames } from '../config/runConfig.js';
import { LxmertError } from '../errors.js';
import { defineCommand, jsonOption, numberOption, print, printJson, threadsOption } from './command.js';

export const command = defineCommand({
  command: 'parity <fixture>',
  describe: 'compare outputs, attention, losses, gradients and training steps with a reference',
  builder: (yargs) =>
    yargs
      .positional('fixture', { type: 'string', demandOption: true, describe: 'folder of the fixture' })
      .option(
        'tolerance',
        numberOption('tolerance', {
          describe: `largest relative error that passes [${bounds.float32.tolerance}; bfloat16: ${bounds.bfloat16.tolerance}]`,
          min: 0,
        }),
      )
      .option('device', {
        choices: deviceNames,
        default: 'auto' as const,
        describe: 'where to run',
      })
      .option('precision', {
        choices: precisionNames,
        default: 'float32' as const,
        describe: 'precision of matrix products',
      })
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async ({ fixture, tolerance, device, precision, threads, json }) => {
    const report = await runParity(fixture, { tolerance, engine: { device, precision, threads } });
    if (json) {
      const { comparisons, ...rest } = report;
      printJson({ ...rest, compared: comparisons.length });
    } else {
      for (const { kind, compared, worst, name } of report.kinds)
        print(
          compared === 0
            ? `${kind.padEnd(15)} not in the fixture: skipped`
            : `${kind.padEnd(15)} ${String(compared).padStart(4)} compared, worst ${worst.toExponential(2)} (${name})`,
        );
      print(report.passed ? `all within ${report.tolerance}` : `above the tolerance of ${report.tolerance}`);
    }
    if (!report.passed)
      throw new LxmertError(
        'BAD_DATA',
        `${fixture} differs by more than ${report.tolerance}; the worst of each kind is above`,
      );
  },
});
