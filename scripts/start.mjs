// `npm start` trains a model in a new clone: setup, synthetic scenes, pre-training, a report of what the model has
// learnt, and fine-tuning with and without the pre-trained model.
import { existsSync, readFileSync } from 'node:fs';
import { chance, lastScore, shareTable } from './lib/comparison.mjs';
import { at, readJson, root } from './lib/paths.mjs';
import { runForeground, say, StepError } from './lib/process.mjs';
import { main, setup } from './lib/setup.mjs';

const DATA = 'data/scenes';
const QUESTIONS = 'runs/questions';
const RUN = 'runs/first';

// With --resume a stopped run continues, and a finished run prints that it is finished.
const common = ['--data', DATA, '--resume'];

/** Scenes are written only once. */
const SCENES = ['scenes', '--out', DATA];
/** The first part of pre-training has only questions (docs/scenes.md says why). */
const BEGIN = ['pretrain', ...common, '--out', QUESTIONS, '--preset', 'tiny', '--train', 'questions', '--tasks', 'qa'];
const BEGIN_STEPS = ['--max-steps', '4000', '--valid', 'none'];
const PRETRAIN = ['pretrain', ...common, '--out', RUN, '--preset', 'tiny', '--init', `${QUESTIONS}/checkpoints/last`];
const REPORT = ['report', RUN];
const PAGE = 'runs/report.html';
const WRITE_PAGE = ['report', RUN, '--html', PAGE];

/** Fine-tuning from the pre-trained model and from random weights. docs/scenes.md gives the targets for the difference. */
const TASKS = [
  { task: 'vqa', name: 'questions about one picture', steps: 200 },
  { task: 'nlvr2', name: 'statements about two', steps: 300 },
];
const WAYS = [
  { name: 'scratch', flags: ['--preset', 'tinyScratch'] },
  { name: 'pretrained', flags: ['--preset', 'tiny', '--from', `${RUN}/checkpoints/best`] },
];
const RUNS = TASKS.flatMap(({ task, steps }) =>
  WAYS.map(({ name, flags }) => {
    const length = ['--max-steps', `${steps}`, '--valid-every', `${steps}`];
    return ['finetune', task, ...common, '--out', `runs/${task}-${name}`, ...flags, ...length];
  }),
);

/** Runs a command. Returns false if Ctrl-C or a signal ended it. */
async function lxmert(args) {
  say(`\n$ npx lxmert ${args.join(' ')}`);
  const status = await runForeground(process.execPath, [at('dist', 'cli', 'main.js'), ...args], { cwd: root });
  if (status > 128) {
    process.exitCode = status;
    say('\nStopped. `npm start` continues from here.');
    return false;
  }
  if (status !== 0) throw new StepError(`lxmert ${args[0]} failed`);
  return true;
}

/** Whether the scenes exist, in the form of this version. */
function scenesAreThere() {
  const description = at(DATA, 'data.yaml');
  return existsSync(description) && readFileSync(description, 'utf8').includes('questions.json');
}

/** Prints how much pre-training has improved fine-tuning. */
function comparison() {
  const rows = TASKS.map(({ task, name, steps }) => ({
    name: `${name} (${task}, ${steps} steps)`,
    shares: [
      chance(readJson(at(DATA, task, 'valid.json'))),
      ...WAYS.map((way) => lastScore(at('runs', `${task}-${way.name}`))),
    ],
  }));
  return `
Fine-tuned, and right on scenes that no run has seen:

${shareTable(['by chance', 'from nothing', `from ${RUN}`], rows)}
`;
}

const WHERE_TO_GO_ON = `
The model is ${RUN}/checkpoints/best. Open ${PAGE} in a browser: curves, samples with their pictures, mistakes.
The curves are also ${RUN}/metrics.jsonl, a line for each step, and TensorBoard's: tensorboard --logdir runs
The scenes are in ${DATA}: pictures/ to look at, train.json to read. docs/scenes.md says how to read the tables.

Next, ask it what the answers to the questions are:
  npx lxmert predict vqa --checkpoint runs/vqa-pretrained --data ${DATA} --split valid --out answers.json --top 3
`;

await main(async () => {
  await setup();
  const commands = [
    ...(scenesAreThere() ? [] : [SCENES]),
    [...BEGIN, ...BEGIN_STEPS],
    PRETRAIN,
    REPORT,
    ...RUNS,
    WRITE_PAGE,
  ];
  for (const command of commands) if (!(await lxmert(command))) return;
  process.stdout.write(comparison() + WHERE_TO_GO_ON);
});
