import { finetuneTasks } from '../config/finetuneConfig.js';
import { LxmertError } from '../errors.js';
import { explanationMethods } from '../explain/index.js';
import { explainQuestions, perturbationTest } from '../finetune/index.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson, threadsOption } from './command.js';
import { writeExplanations } from './explainPictures.js';
import { explanationLines, perturbationTable } from './explainTable.js';
import { whole } from './trainProgress.js';
import { modelOptions } from './modelOptions.js';

export const command = defineCommand({
  command: 'explain <model>',
  describe: 'which words and objects made an answer',
  builder: (yargs) =>
    yargs
      .positional('model', {
        type: 'string',
        demandOption: true,
        describe: 'a run, a checkpoint with an answer head and its answers, or weights of any form that --init takes',
      })
      .option('data', { type: 'string', demandOption: true, requiresArg: true, describe: 'data folder' })
      .option('split', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'split, or several with commas between',
      })
      .option('task', {
        choices: finetuneTasks,
        describe: "what kind of questions; that of the model's fine-tuning unless given",
      })
      .option('id', { type: 'string', requiresArg: true, describe: 'a question, or a picture with its questions' })
      .option(
        'question',
        integerOption('question', { min: 1, describe: 'only this question of the picture --id, from 1 on' }),
      )
      .option(
        'limit',
        integerOption('limit', {
          min: 1,
          describe: 'without --id: the first so many questions; with --test: so many, by chance [500]',
        }),
      )
      .option('method', {
        choices: explanationMethods,
        default: 'relevancy' as const,
        describe: 'how: relevancy (Chefer et al. 2021), attention of the last layer, or rollout',
      })
      .option('map', {
        type: 'string',
        requiresArg: true,
        describe: 'show this attention map instead, such as cross_lang_to_vision.0',
      })
      .option('head', integerOption('head', { min: 0, describe: 'of --map; the mean of all heads unless given' }))
      .option('out', {
        type: 'string',
        requiresArg: true,
        describe: 'draw: an .svg file, or a folder for several',
      })
      .option('pictures', {
        type: 'string',
        requiresArg: true,
        describe: 'folder with the pictures, named by their ids; an empty frame unless found',
      })
      .option('test', {
        type: 'boolean',
        default: false,
        describe: 'test which explanation to believe: remove words and objects in its order',
      })
      .option('seed', integerOption('seed', { min: 0, max: 2 ** 32 - 1, default: 0, describe: 'of --test' }))
      .option(
        'batch-size',
        integerOption('batch-size', { min: 1, default: 32, describe: 'questions that the device takes at once' }),
      )
      .options(modelOptions)
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async (args) => {
    const { model, data, split, task, limit, batchSize, answers, attentionHeads, vocabulary, threads, json } = args;
    const request = {
      ...{ checkpoint: model, data, task, batchSize, answers, attentionHeads, vocabulary },
      splits: split.split(',').map((name) => name.trim()),
      engine: { device: args.device, threads: threads === 0 ? undefined : threads, onNote: note },
    };
    if (args.test) {
      demandNone(args, ['id', 'question', 'map', 'head', 'out', 'pictures']);
      const progress = everyFewSeconds();
      const report = await perturbationTest({ ...request, questions: limit, seed: args.seed, progress });
      if (json) printJson(report);
      else perturbationTable(report).forEach(print);
      return;
    }
    const { id, question, method, map, head, out, pictures } = args;
    if (id === undefined && limit === undefined)
      throw new LxmertError('BAD_ARGUMENT', 'name a question or a picture with --id, or take some with --limit');
    if (id === undefined) demandNone(args, ['question'], 'needs --id');
    if (map === undefined) demandNone(args, ['head'], 'needs --map');
    if (out === undefined) demandNone(args, ['pictures'], 'needs --out');
    const shown = map === undefined ? undefined : { name: map, head };
    const explained = await explainQuestions({ ...request, id, question, limit, method, map: shown });
    const files = out === undefined ? [] : await writeExplanations(explained, { out, pictures });
    if (json) printJson({ method: map ?? method, head, explained, files });
    else explained.flatMap(explanationLines).concat(files).forEach(print);
  },
});

function demandNone(
  args: Readonly<Record<string, unknown>>,
  flags: readonly string[],
  why = 'does not go with --test',
): void {
  const given = flags.find((flag) => args[flag] !== undefined);
  if (given) throw new LxmertError('BAD_ARGUMENT', `--${given} ${why}`);
}

function everyFewSeconds(): (done: number, of: number) => void {
  let told = performance.now();
  return (done, of) => {
    if (performance.now() - told < 5000) return;
    told = performance.now();
    note(`${whole(done)} of ${whole(of)} questions`);
  };
}
