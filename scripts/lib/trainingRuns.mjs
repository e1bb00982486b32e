// Functions that are shared by the scripts that interrupt training runs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { at } from './paths.mjs';

/** A generator of numbers in [0, 1): mulberry32. The same seed gives the same numbers, so a failure can be repeated. */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts the program. `ended` resolves with its exit code, or with the signal that ended it. */
export function lxmert(...args) {
  const child = spawn(process.execPath, [at('dist', 'cli', 'main.js'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const run = { child, errors: '', ended: undefined };
  child.stderr.setEncoding('utf8').on('data', (text) => (run.errors += text));
  run.ended = new Promise((done) => child.on('close', (code, signal) => done(code ?? signal)));
  return run;
}

/** The lines of metrics.jsonl of a run; an empty list if there is no such file. */
export function metricsLines(out) {
  try {
    return readFileSync(join(out, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/**
 * The results that must be the same in two runs: the metrics without the rate, and a checksum of each file of both
 * checkpoints.
 */
export function outcome(out) {
  const metrics = metricsLines(out).map((line) => JSON.stringify({ ...JSON.parse(line), samplesPerSecond: undefined }));
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

/** Throws unless two runs have the same outcome. Returns the number of lines and files that were compared. */
export function demandSameOutcome(straight, interrupted) {
  const [one, other] = [outcome(straight), outcome(interrupted)];
  const differ = one.filter((item, i) => item !== other[i]);
  if (differ.length > 0 || one.length !== other.length)
    throw new Error(`they differ, first in ${differ[0] ?? 'length'}`);
  return one.length;
}
