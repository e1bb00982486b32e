import { percent } from '../figures.js';
import { checkDetector } from '../pictures/index.js';
import { defineCommand, jsonOption, print, printJson, threadsOption } from './command.js';

/** `lxmert detector check` */
export const check = defineCommand({
  command: 'check <folder>',
  describe: 'compare a detector with published features of the same pictures',
  builder: (yargs) =>
    yargs
      .positional('folder', {
        type: 'string',
        demandOption: true,
        describe: "pictures, and beside them one .tsv of their features in the original's form",
      })
      .option('detector', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: '.onnx of `lxmert detector import`, or the YAML of an own detector',
      })
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async ({ folder, detector, threads, json }) => {
    const checks = await checkDetector(folder, detector, { threads });
    const mean = (of: (one: (typeof checks)[number]) => number) =>
      checks.reduce((sum, one) => sum + of(one), 0) / checks.length;
    const all = {
      overlap: mean((one) => one.overlap),
      matched: mean((one) => one.matched / one.objects),
      // Without matched objects, there are no figures about a picture.
      sameClass: mean((one) => (one.matched === 0 ? 0 : one.sameClass)),
      featureDistance: mean((one) => (one.matched === 0 ? 0 : one.featureDistance)),
    };
    if (json) return printJson({ pictures: checks, mean: all });
    const row = (name: string, of: readonly string[]) =>
      print(name.padEnd(32) + of.map((one) => one.padStart(10)).join(''));
    row('', ['overlap', 'matched', 'class', 'distance']);
    for (const { id, ...one } of checks)
      row(id, [
        one.overlap.toFixed(3),
        percent(one.matched / one.objects),
        one.matched === 0 ? '-' : percent(one.sameClass),
        one.matched === 0 ? '-' : one.featureDistance.toFixed(4),
      ]);
    row('mean', [all.overlap.toFixed(3), percent(all.matched), percent(all.sameClass), all.featureDistance.toFixed(4)]);
  },
});
