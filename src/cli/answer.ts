import { LxmertError } from '../errors.js';
import { counted, percent } from '../figures.js';
import { openModel } from '../finetune/index.js';
import { openDetector, shownToModel } from '../pictures/index.js';
import {
  defineCommand,
  integerOption,
  jsonOption,
  note,
  print,
  printJson,
  severalPositionals,
  threadsOption,
} from './command.js';

export const command = defineCommand({
  command: 'answer <model> <picture> <questions..>',
  describe: 'answer questions on a picture',
  builder: (yargs) =>
    yargs
      // A question may be a number.
      .parserConfiguration({ ...severalPositionals, 'parse-positional-numbers': false })
      .positional('model', {
        type: 'string',
        demandOption: true,
        describe: 'a run, or a checkpoint with an answer head and its answers',
      })
      .positional('picture', { type: 'string', demandOption: true, describe: 'JPEG, PNG or WebP' })
      .positional('questions', { type: 'string', array: true, demandOption: true, describe: 'one or more, in quotes' })
      .option('detector', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe:
          '.onnx of `lxmert detector import`, or the YAML of an own detector: the one whose features the model was trained with',
      })
      .option('top', integerOption('top', { min: 1, default: 5, describe: 'answers to give' }))
      .option('threads', threadsOption)
      .option('json', jsonOption),
  handler: async ({ model, picture, questions, detector, top, threads, json }) => {
    if (questions.length === 0) throw new LxmertError('BAD_ARGUMENT', 'a question is missing: "what is it?"');
    const opened = await openModel(model, { threads });
    try {
      const eyes = await openDetector(detector, { threads });
      const objects = await eyes
        .prepare({ path: picture })
        .then((prepared) => eyes.detect(prepared))
        .finally(() => eyes.close());
      const seen = shownToModel(objects);
      const ranked = await opened.answerAll(
        questions.map((question) => ({ picture: seen, question })),
        { top },
      );
      const results = questions.map((question, i) => ({ question, answers: ranked[i] }));
      if (json) return printJson(results);
      note(`${picture}: ${counted(objects.boxes.length / 4, 'object')}`);
      for (const { question, answers } of results) {
        print(question);
        for (const { answer, probability } of answers) print(`  ${percent(probability).padStart(7)}  ${answer}`);
      }
    } finally {
      await opened.dispose();
    }
  },
});
