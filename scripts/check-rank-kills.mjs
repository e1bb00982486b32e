// Interrupts a pre-training run on several ranks at random moments, and resumes it each time on another number of
// ranks, with or without a sharded optimizer: `node scripts/check-rank-kills.mjs [EVENTS] [SEED]`, by default 20 and 1.
// An event kills one rank (SIGKILL), stops one rank (SIGSTOP), or ends all ranks with a checkpoint (SIGTERM to the
// launcher). At the end, the script compares the run with a run on one rank that was not interrupted. All metrics
// except the rate, and all files of the newest and the best checkpoint, must be the same bits.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './lib/process.mjs';
import { demandSameOutcome, lxmert, metricsLines, randomFrom } from './lib/trainingRuns.mjs';

const [events = 20, seed = 1] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'lxmert-ranks-'));
const data = join(folder, 'scenes');
const random = randomFrom(seed);
const pick = (items) => items[Math.floor(random() * items.length)];

const flags = {
  ...{ data, preset: 'tiny', device: 'cpu', workers: 1, valid: 'train', seed: 7, 'gradient-parts': 4 },
  ...{ 'hidden-size': 32, 'num-attention-heads': 2, 'intermediate-size': 32 },
  ...{ 'hidden-dropout-prob': 0.1, 'attention-probs-dropout-prob': 0.1 },
  ...{ 'max-steps': 10 * events, 'batch-size': 10, 'micro-batch-size': 2, 'save-every': 7, 'valid-every': 11 },
};

const pretrain = (out, ...more) =>
  lxmert(
    'pretrain',
    '--out',
    out,
    ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, `${value}`]),
    ...more,
  );

/** The processes of the ranks: the children of the launcher, or the run itself. */
function ranksOf({ child }) {
  try {
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    const ranks = children.split(/\s+/).filter(Boolean).map(Number);
    return ranks.length > 0 ? ranks : [child.pid];
  } catch {
    return [];
  }
}

/** Waits until the run has written this number of new lines of metrics since its start, or has ended. */
async function doneMore(run, out, count) {
  let first;
  while (run.child.exitCode === null) {
    if (first === undefined && / parameters/.test(run.errors)) first = metricsLines(out).length;
    if (first !== undefined && metricsLines(out).length >= first + count) return;
    await sleep(2);
  }
}

const runs = [];
try {
  const scenes = lxmert('scenes', '--out', data, '--images', '12', '--feature-dim', '16', '--pictures', '0');
  if ((await scenes.ended) !== 0) throw new Error(scenes.errors);
  const straight = join(folder, 'straight');
  const alone = pretrain(straight, '--ranks', '1');
  runs.push(alone);
  if ((await alone.ended) !== 0) throw new Error(alone.errors);

  const broken = join(folder, 'interrupted');
  const done = {};
  for (let i = 1; i <= events; i++) {
    const ranks = pick([1, 2, 3, 4]);
    const sharded = ranks > 1 && random() < 0.5;
    const event = ranks === 1 ? pick(['SIGKILL', 'SIGTERM']) : pick(['SIGKILL', 'SIGKILL', 'SIGSTOP', 'SIGTERM']);
    const options = [...(sharded ? ['--shard-optimizer'] : []), '--rank-timeout', '3'];
    const run = pretrain(broken, '--resume', '--ranks', `${ranks}`, ...options);
    runs.push(run);
    await doneMore(run, broken, Math.floor(random() * 15));
    await sleep(40 * random());
    const victim = event === 'SIGTERM' ? run.child.pid : pick(ranksOf(run));
    if (victim !== undefined && run.child.exitCode === null) process.kill(victim, event);
    const begun = performance.now();
    const how = await run.ended;
    const expected = event === 'SIGTERM' ? [143] : ranks === 1 ? ['SIGKILL'] : [1];
    if (!expected.includes(how)) throw new Error(`event ${i}, ${event}: the run ended with ${how}\n${run.errors}`);
    done[event] = (done[event] ?? 0) + 1;
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    say(
      `event ${i}: ${event} on ${ranks} ranks${sharded ? ', sharded' : ''}, after line ${metricsLines(broken).length}; ` +
        `all ended after ${seconds} s`,
    );
  }
  const last = pretrain(broken, '--resume', '--ranks', '3');
  runs.push(last);
  if ((await last.ended) !== 0) throw new Error(last.errors);
  const compared = demandSameOutcome(straight, broken);
  say(`${events} events (${JSON.stringify(done)}), ${compared} metrics and files compared: all the same bits`);
} catch (error) {
  say(`check-rank-kills: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const { child } of runs) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
