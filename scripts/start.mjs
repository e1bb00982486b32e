// `npm start`: from a fresh clone to a trained model: setup, synthetic scenes, pre-training, and what it learnt.
import { existsSync, readFileSync } from 'node:fs';
import { at, root } from './lib/paths.mjs';
import { runForeground, say, StepError } from './lib/process.mjs';
import { main, setup } from './lib/setup.mjs';

const DATA = 'data/scenes';
const RUN = 'runs/first';

/** Scenes are written once; a run that was stopped goes on, and one that is finished says so. */
const SCENES = ['scenes', '--out', DATA];
const PRETRAIN = ['pretrain', '--data', DATA, '--out', RUN, '--preset', 'tiny', '--resume'];

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

/** The last validation in the run's metrics. */
function lastValidation() {
  const lines = readFileSync(at(RUN, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line)).findLast((record) => record.split === 'valid');
}

function tellWhatWasLearnt() {
  const { step, accuracy } = lastValidation() ?? {};
  if (accuracy === undefined) return;
  const share = (value) => (value === undefined ? 'not measured' : `${(100 * value).toFixed(1)} %`);
  process.stdout.write(
    [
      '',
      `After ${step} steps, on scenes that it has never seen, the model is right about`,
      `  whether a sentence belongs to a picture   ${share(accuracy.matched)}   (guessing: 50 %)`,
      `  the answer to a question                  ${share(accuracy.qa)}`,
      `  a word that was hidden in a sentence      ${share(accuracy.maskedLm)}`,
      '',
      `The scenes are in ${DATA} (pictures/ to look at), the run in ${RUN}: metrics.jsonl has a line a step,`,
      `checkpoints/best is the model. \`npx lxmert --help\` shows what else there is.`,
      '',
    ].join('\n'),
  );
}

await main(async () => {
  await setup();
  if (!existsSync(at(DATA, 'data.yaml')) && !(await lxmert(SCENES))) return;
  if (await lxmert(PRETRAIN)) tellWhatWasLearnt();
});
