// `npm start`: from a fresh clone to a trained model: setup, synthetic scenes, pre-training, and what it learnt.
import { existsSync } from 'node:fs';
import { at, root } from './lib/paths.mjs';
import { runForeground, say, StepError } from './lib/process.mjs';
import { main, setup } from './lib/setup.mjs';

const DATA = 'data/scenes';
const RUN = 'runs/first';

/** Scenes are written once; a run that was stopped goes on, and one that is finished says so. */
const SCENES = ['scenes', '--out', DATA];
const PRETRAIN = ['pretrain', '--data', DATA, '--out', RUN, '--preset', 'tiny', '--resume'];
const REPORT = ['report', RUN];

/** Runs a command; false when Ctrl-C or a signal ended it. */
async function lxmert(args) {
  say(`\n$ npx lxmert ${args.join(' ')}`);
  const status = await runForeground(process.execPath, [at('dist', 'cli', 'main.js'), ...args], { cwd: root });
  if (status > 128) {
    process.exitCode = status;
    say('\nStopped. `npm start` goes on from here.');
    return false;
  }
  if (status !== 0) throw new StepError(`lxmert ${args[0]} did not come to its end`);
  return true;
}

const WHERE_TO_GO_ON = `
The model is ${RUN}/checkpoints/best; its curves are ${RUN}/metrics.jsonl, a line a step, and TensorBoard's:
  tensorboard --logdir runs
The scenes are in ${DATA}: pictures/ to look at, train.json to read. docs/scenes.md says how to read the table.

Next, see what becomes of it without the hidden words and objects:
  npx lxmert pretrain --data ${DATA} --out runs/second --preset tiny --tasks matched,qa
  npx lxmert report runs/second
`;

await main(async () => {
  await setup();
  if (!existsSync(at(DATA, 'data.yaml')) && !(await lxmert(SCENES))) return;
  if ((await lxmert(PRETRAIN)) && (await lxmert(REPORT))) process.stdout.write(WHERE_TO_GO_ON);
});
