// Interrupts a pre-training run at random moments by SIGKILL, SIGTERM or SIGINT, and resumes it each time. At the end,
// the script compares the run with a run that was not interrupted. All metrics except the rate, and all files of the newest
// and the best checkpoint, must be the same bits.
//   node scripts/check-resume.mjs [INTERRUPTIONS] [SEED]       by default 20 and 1
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './lib/process.mjs';
import { demandSameOutcome, lxmert, metricsLines as lines, randomFrom } from './lib/trainingRuns.mjs';

const [interruptions = 20, seed = 1] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'lxmert-resume-'));
const data = join(folder, 'scenes');

/**
 * Short steps with dropout, two parts a step, and two threads that make batches. Saves and validations fall on different
 * steps.
 */
const flags = {
  ...{ data, preset: 'tiny', threads: 1, workers: 2, valid: 'train', seed: 7 },
  ...{ 'hidden-size': 32, 'num-attention-heads': 2, 'intermediate-size': 32 },
  ...{ 'hidden-dropout-prob': 0.1, 'attention-probs-dropout-prob': 0.1 },
  ...{ 'max-steps': 20 * interruptions, 'batch-size': 8, 'micro-batch-size': 4, 'save-every': 7, 'valid-every': 11 },
};

const random = randomFrom(seed);
const pick = (items) => items[Math.floor(random() * items.length)];

const pretrain = (out, ...more) =>
  lxmert(
    'pretrain',
    '--out',
    out,
    ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, `${value}`]),
    ...more,
  );

/** Waits until the run has done this number of new steps since its start, or has ended. */
async function doneMore(run, out, steps) {
  let first;
  while (run.child.exitCode === null) {
    // The program prints the number of parameters after it has cut the metrics back to its checkpoint.
    if (first === undefined && / parameters/.test(run.errors)) first = lines(out).length;
    if (first !== undefined && lines(out).length >= first + steps) return;
    await sleep(2);
  }
}

try {
  const scenes = lxmert('scenes', '--out', data, '--images', '24', '--feature-dim', '16', '--pictures', '0');
  if ((await scenes.ended) !== 0) throw new Error(scenes.errors);
  const straight = join(folder, 'straight');
  const alone = pretrain(straight);
  if ((await alone.ended) !== 0) throw new Error(alone.errors);

  const broken = join(folder, 'interrupted');
  const ends = {};
  for (let i = 1; i <= interruptions; i++) {
    const run = pretrain(broken, '--resume');
    const signal = pick(['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT']);
    await doneMore(run, broken, Math.floor(random() * 15));
    await sleep(40 * random());
    run.child.kill(signal);
    const how = await run.ended;
    if (!['SIGKILL', 130, 143].includes(how))
      throw new Error(`interruption ${i} by ${signal}: it ended with ${how}\n${run.errors}`);
    ends[how] = (ends[how] ?? 0) + 1;
    say(`interruption ${i}: ${signal} after line ${lines(broken).length}`);
  }
  const last = pretrain(broken, '--resume');
  if ((await last.ended) !== 0) throw new Error(last.errors);

  const compared = demandSameOutcome(straight, broken);
  say(
    `${interruptions} interruptions (${JSON.stringify(ends)}), ${compared} metrics and files compared: all the same bits`,
  );
} catch (error) {
  say(`check-resume: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
