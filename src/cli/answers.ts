import { buildAnswers, vocabularyFiles, writeAnswerVocabulary } from '../finetune/answers/index.js';
import { questionTasks } from '../finetune/questions/index.js';
import { defineCommand, integerOption, jsonOption, lastOf, print, printJson, severalPositionals } from './command.js';
import { percent, whole } from './trainProgress.js';

const build = defineCommand({
  command: 'build <files..>',
  describe: 'make an answer list from questions with labels',
  builder: (yargs) =>
    yargs
      .parserConfiguration(severalPositionals)
      .positional('files', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'questions with labels, or official VQA annotations',
      })
      .option('out', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        coerce: lastOf,
        describe: 'folder to write',
      })
      .option(
        'min-count',
        integerOption('min-count', {
          min: 1,
          default: 1,
          describe:
            'smallest number of questions with an answer as their main answer; 9 gives the 3,129 answers of VQA',
        }),
      )
      .option('task', {
        choices: questionTasks,
        describe: "form of the files; by default it is recognised by each file's first question",
      })
      .option('json', jsonOption),
  handler: async ({ files, out, minCount, task, json }) => {
    const { answers, ...counts } = await buildAnswers({ files, minCount, task });
    await writeAnswerVocabulary(out, answers);
    if (json) return printJson({ answers: answers.length, ...counts });
    const { questions, covered, share, bestScore, differentAnswers } = counts;
    [
      `${out}: ${whole(answers.length)} of ${whole(differentAnswers)} different answers, in ${Object.values(vocabularyFiles).join(' and ')}`,
      `They cover ${whole(covered)} of ${whole(questions)} questions (${percent(share)}).`,
      `A model that always gives the best of them scores ${percent(bestScore)}.`,
    ].forEach(print);
  },
});

export const command = defineCommand({
  command: 'answers',
  describe: 'answer lists of fine-tuning',
  builder: (yargs) => yargs.command(build).demandCommand(1, 'answers build FILE… --out FOLDER'),
  handler: () => undefined,
});
