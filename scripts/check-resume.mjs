// Interrupts a pre-training run many times at random times by SIGKILL, SIGTERM or SIGINT, resumes it each time, and compares
// the results with a run without interruptions: `node scripts/check-resume.mjs [INTERRUPTIONS] [SEED]`. The defaults are 20
// and 1. All metrics except the rate, and all files of the newest and the best checkpoint, must have the same bits.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { at } from './lib/paths.mjs';
import { say } from './lib/process.mjs';

const [interruptions = 20, seed = 1] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'lxmert-resume-'));
const data = join(folder, 'scenes');

/** Settings: short steps, dropout, two parts a step, two threads that make batches, and saves and validations that overlap. */
const flags = {
  ...{ data, preset: 'tiny', threads: 1, workers: 2, valid: 'train', seed: 7 },
  ...{ 'hidden-size': 32, 'num-attention-heads': 2, 'intermediate-size': 32 },
  ...{ 'hidden-dropout-prob': 0.1, 'attention-probs-dropout-prob': 0.1 },
  ...{ 'max-steps': 20 * interruptions, 'batch-size': 8, 'micro-batch-size': 4, 'save-every': 7, 'valid-every': 11 },
};

// A random generator with a seed (mulberry32), so that a failure can be repeated.
let state = seed;
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const pick = (items) => items[Math.floor(random() * items.length)];

function lxmert(...args) {
  const child = spawn(process.execPath, [at('dist', 'cli', 'main.js'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const run = { child, errors: '', ended: undefined };
  child.stderr.setEncoding('utf8').on('data', (text) => (run.errors += text));
  run.ended = new Promise((done) => child.on('close', (code, signal) => done(code ?? signal)));
  return run;
}

const pretrain = (out, ...more) =>
  lxmert(
    'pretrain',
    '--out',
    out,
    ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, `${value}`]),
    ...more,
  );

function lines(out) {
  try {
    return readFileSync(join(out, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/** Waits until the run has done this number of steps after its start, or has ended. */
async function doneMore(run, out, steps) {
  let first;
  while (run.child.exitCode === null) {
    // The run prints the number of parameters after it has cut the metrics back to its checkpoint.
    if (first === undefined && / parameters/.test(run.errors)) first = lines(out).length;
    if (first !== undefined && lines(out).length >= first + steps) return;
    await sleep(2);
  }
}

/** The results to compare: metrics without the rate, and checksums of all files of both checkpoints. */
function outcome(out) {
  const metrics = lines(out).map((line) => JSON.stringify({ ...JSON.parse(line), samplesPerSecond: undefined }));
  const files = ['last', 'best'].flatMap((link) => {
    const checkpoint = join(out, 'checkpoints', link);
    const sum = (name) =>
      createHash('sha256')
        .update(readFileSync(join(checkpoint, name)))
        .digest('hex');
    return readdirSync(checkpoint).map((name) => `${link}/${name} ${sum(name)}`);
  });
  return [...metrics, ...files];
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

  const [one, other] = [outcome(straight), outcome(broken)];
  const differ = one.filter((item, i) => item !== other[i]);
  if (differ.length > 0 || one.length !== other.length)
    throw new Error(`they differ, first in ${differ[0] ?? 'length'}`);
  say(
    `${interruptions} interruptions (${JSON.stringify(ends)}), ${one.length} metrics and files compared: all the same bits`,
  );
} catch (error) {
  say(`check-resume: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
