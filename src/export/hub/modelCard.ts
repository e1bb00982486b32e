import { basename } from 'node:path';
import { stringify } from 'yaml';
import { counted, percent, whole } from '../../figures.js';
import { isRecord } from '../../records.js';
import { version } from '../version.js';
import type { CardFacts } from './cardFacts.js';
import { usage } from './usage.js';
import type { TrainingFacts } from './training.js';

/** Text of a user in Markdown, where it must not become markup. */
const plain = (text: string): string =>
  // eslint-disable-next-line no-control-regex -- control characters could end the line
  text.replace(/[\u0000-\u001f]+/g, ' ').replace(/[\\`*_{}[\]<>|~&]/g, '\\$&');

/** The `README.md` of a model: its front matter, what it is, how it was trained, its results, and how to use it. */
export function modelCard(facts: CardFacts): string {
  const { name, training } = facts;
  return [
    `---\n${stringify(frontMatter(facts))}---`,
    `# ${plain(name)}`,
    about(facts),
    '## Training',
    training
      ? trainingLines(training)
      : 'The weights are not in the folder of a run, so nothing is known about their training.',
    '## Results',
    results(training),
    '## Use',
    usage(facts),
    `This card and this folder were written by lxmert ${version()}.`,
    '',
  ].join('\n\n');
}

const pipelines: Partial<Record<CardFacts['kind'], string>> = {
  questionAnswering: 'visual-question-answering',
  pretraining: 'visual-question-answering',
};

/** The front matter, as model hubs read it. */
function frontMatter({ name, kind, answers, task, training }: CardFacts): object {
  const validation = training?.validation;
  const metrics = Object.entries(validation?.accuracy ?? {}).map(([loss, value]) => ({
    type: 'accuracy',
    name: lossTitles[loss] ?? loss,
    value: round(Number(value)),
  }));
  const pipeline = answers ? pipelines[kind] : undefined;
  return {
    language: 'en',
    library_name: 'transformers',
    ...(pipeline ? { pipeline_tag: pipeline } : {}),
    tags: ['lxmert', 'vision-and-language', ...(task ? [task.task] : [])],
    ...(training && metrics.length > 0
      ? {
          'model-index': [
            {
              name,
              results: [
                {
                  task: { type: pipeline ?? 'feature-extraction' },
                  dataset: { type: task?.task ?? 'custom', name: splitsOf(training, 'valid') },
                  metrics,
                },
              ],
            },
          ],
        }
      : {}),
  };
}

const round = (value: number): number => Math.round(value * 1e4) / 1e4;

/** What the accuracy of each loss counts. */
const lossTitles: Readonly<Record<string, string>> = {
  answer: 'score of the questions',
  maskedLm: 'hidden words',
  matched: 'sentence and picture belong together',
  obj: "objects' classes",
  attr: "objects' attributes",
  qa: 'answers to questions',
};

const kinds: Readonly<Record<CardFacts['kind'], string>> = {
  pretraining: 'a pre-trained LXMERT with its heads',
  questionAnswering: 'an LXMERT that answers questions about a picture',
  nlvr2: 'an LXMERT that says whether a statement about two pictures is true',
  encoder: 'an LXMERT encoder without heads',
};

function about({ kind, config, tensors, answers }: CardFacts): string {
  const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return (
    `This is ${kinds[kind]} (Tan and Bansal 2019, [arXiv 1908.07490](https://arxiv.org/abs/1908.07490)). It reads a sentence ` +
    `together with the objects that a detector found in a picture: a feature of ${whole(config.visualFeatDim)} numbers and a ` +
    `box for each object. It has ${counted(parameters, 'parameter')}: ${counted(config.lLayers, 'language layer')}, ${counted(config.rLayers, 'object layer')} ` +
    `and ${counted(config.xLayers, 'cross-modality layer')} of width ${config.hiddenSize}.` +
    (answers ? ` It chooses one of ${counted(answers.length, 'answer')}, which \`answers.json\` lists.` : '')
  );
}

/** The value of a setting, such as `optimizer.lr`; undefined if the run does not have it. */
function setting({ config }: TrainingFacts, path: string): unknown {
  return path.split('.').reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), config);
}

const listOf = (value: unknown): string => (Array.isArray(value) ? value.map(String).join(', ') : '');

/** The splits of a run's data, such as "train of scenes". The name of the data is the last part of the folder's path. */
function splitsOf(training: TrainingFacts, which: 'train' | 'valid'): string {
  const folder = setting(training, 'data.folder');
  const splits = listOf(setting(training, `data.${which}`));
  return typeof folder === 'string' ? `${splits} of ${basename(folder)}` : splits;
}

/** Settings that the card gives: title and place. A setting that the run does not have is left out. */
const shownSettings: readonly (readonly [string, string])[] = [
  ['batch size', 'batchSize'],
  ['peak learning rate', 'optimizer.lr'],
  ['loss', 'loss'],
  ['seed', 'seed'],
  ['precision of matrix products', 'precision'],
];

function trainingLines(training: TrainingFacts): string {
  const from = setting(training, 'from') ?? setting(training, 'init');
  const lines = [
    `- data: ${plain(splitsOf(training, 'train'))}`,
    `- initial weights: ${typeof from === 'string' ? plain(basename(from)) : 'random'}`,
    `- optimizer steps: ${whole(training.step)}`,
    ...shownSettings.flatMap(([title, path]) => {
      const value = setting(training, path);
      return typeof value === 'string' || typeof value === 'number' ? [`- ${title}: ${plain(String(value))}`] : [];
    }),
  ];
  return lines.join('\n');
}

function results(training: TrainingFacts | undefined): string {
  if (!training?.validation) return 'No results of a validation are known.';
  const { accuracy, step } = training.validation;
  const rows = Object.entries(accuracy).map(
    ([loss, value]) => `| ${lossTitles[loss] ?? loss} | ${percent(Number(value))} |`,
  );
  return [
    `On ${plain(splitsOf(training, 'valid'))}, after ${whole(step)} steps:`,
    '',
    '| share of right predictions | |',
    '| --- | --- |',
    ...rows,
  ].join('\n');
}
