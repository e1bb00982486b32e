import { LxmertError } from '../errors.js';
import { comparisonPage } from '../page/index.js';
import { defineCommand, lastOf, severalPositionals } from './command.js';
import { writePage } from './report.js';

export const command = defineCommand({
  command: 'compare <runs..>',
  describe: 'the curves, results and settings of several runs in one page for the browser',
  builder: (yargs) =>
    yargs
      .parserConfiguration(severalPositionals)
      .positional('runs', { type: 'string', array: true, demandOption: true, describe: 'two run folders or more' })
      .option('html', {
        type: 'string',
        requiresArg: true,
        default: 'compare.html',
        coerce: lastOf,
        describe: 'file to write',
      }),
  handler: async ({ runs, html }) => {
    if (runs.length < 2)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `one run was given; name two or more. \`lxmert report ${runs[0]} --html F\` shows one`,
      );
    await writePage(html, await comparisonPage(runs));
  },
});
