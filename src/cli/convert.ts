import { pretrainParameters } from '../pretrain/objective.js';
import { convertWeights, some } from '../weights/index.js';
import type { ConvertReport } from '../weights/index.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { percent, whole } from './trainProgress.js';

const dtypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;

/** The file in which the original's code stores its answers, relative to the current folder. */
const originalAnswers = 'data/lxmert/all_ans.json';

export const command = defineCommand({
  command: 'convert <from> <output>',
  describe: "convert weights between transformers' form and the original's",
  builder: (yargs) =>
    yargs
      .positional('from', {
        type: 'string',
        demandOption: true,
        describe: 'a transformers folder, .pth, .bin, .safetensors, checkpoint or run',
      })
      .positional('output', { type: 'string', demandOption: true, describe: 'folder or .pth to write' })
      .option('to', {
        choices: ['transformers', 'original'] as const,
        describe: 'form to write [transformers; for a name that ends in .pth: original]',
      })
      .option('dtype', {
        choices: Object.keys(dtypes) as (keyof typeof dtypes)[],
        default: 'float32' as const,
        describe: 'type of the numbers to write',
      })
      .option(
        'heads',
        integerOption('heads', {
          min: 1,
          max: 4096,
          describe: 'number of attention heads, used if there is no config.json [width / 64]',
        }),
      )
      .option('allow-missing', {
        type: 'string',
        requiresArg: true,
        describe: 'encoder weights that may be missing: names or patterns with *, separated by commas',
      })
      .option('answers', {
        type: 'string',
        requiresArg: true,
        describe: 'file with the answers of the new answer head (a JSON list, or label2ans.json)',
      })
      .option('answers-from', {
        type: 'string',
        requiresArg: true,
        describe: 'file with the answers of the old answer head [a file beside the weights]',
      })
      .option('json', jsonOption),
  handler: async ({ from, output, to, dtype, heads, allowMissing, answers, answersFrom, json }) => {
    const report = await convertWeights(from, output, {
      parametersOf: pretrainParameters,
      to: to ?? (output.endsWith('.pth') ? 'original' : 'transformers'),
      dtype: dtypes[dtype],
      heads,
      allowMissing: allowMissing?.split(',').map((name) => name.trim()),
      answers,
      answersFrom,
      usualAnswers: originalAnswers,
    });
    report.notes.forEach(note);
    if (json) printJson(report);
    else tell(report).forEach(print);
  },
});

const kinds: Readonly<Record<ConvertReport['kind'], string>> = {
  pretraining: 'a pre-trained model with its heads',
  questionAnswering: 'a model that answers questions',
  nlvr2: "NLVR2's model",
  encoder: 'an encoder without heads',
};

function tell({ to, kind, loaded, missing, unexpected, groups, answers }: ConvertReport): string[] {
  return [
    `${to}: ${kinds[kind]}, ${whole(loaded)} tensors`,
    ...groups.map(
      ({ group, parameters, share }) =>
        `  ${group.padEnd(18)}${whole(parameters).padStart(12)} parameters  ${percent(share).padStart(8)} found`,
    ),
    ...listed('missing', missing),
    ...listed('not used', unexpected),
    ...(answers
      ? [`answers: ${whole(answers.carried)} of ${whole(answers.of)} found; the rows of the others are zeros`]
      : []),
    ...(answers
      ? listed(
          'not found',
          answers.zero.map((answer) => JSON.stringify(answer)),
        )
      : []),
  ];
}

/** A line with the length of a list and its first names; no line for an empty list. */
function listed(what: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${what} (${whole(names.length)}): ${some(names)}`];
}
