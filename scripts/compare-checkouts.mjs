// Checks that two checkouts compute the same bits: `node scripts/compare-checkouts.mjs OLD NEW [STEPS]`.
// OLD and NEW are folders of checkouts in which `npm run setup` has run. Each checkout trains on the same scenes,
// several times with other settings, and runs the parity fixtures. All lines of metrics.jsonl (without
// samplesPerSecond), all files of every checkpoint and all parity figures that OLD has must be equal. STEPS is 300 by
// default.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { say } from './lib/process.mjs';

const [old, now, steps = '300'] = process.argv.slice(2);
if (now === undefined) {
  say('usage: node scripts/compare-checkouts.mjs OLD NEW [STEPS]');
  process.exit(2);
}

/** Flags of `lxmert pretrain` in addition to data, preset, seed and number of steps. An epoch of these scenes has 29 steps. */
const runs = {
  plain: [],
  parts: ['--micro-batch-size', '24'],
  schedule: [
    '--masked-lm-from-epoch',
    '1',
    '--qa-from-epoch',
    '2',
    '--matched-to-epoch',
    '4',
    '--objects-to-epoch',
    '3',
  ],
  resident: ['--resident-features', 'true'],
  threads: ['--workers', '2', '--tasks', 'matched,qa'],
};
const fixtures = ['tiny', 'head32'];
const folder = mkdtempSync(join(tmpdir(), 'lxmert-compare-'));
const data = join(folder, 'scenes');

function lxmert(checkout, ...args) {
  const program = join(resolve(checkout), 'dist', 'cli', 'main.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${checkout}: lxmert ${args.join(' ')} ended with ${status}\n${stderr}`);
  return stdout;
}

const hash = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** A JSON text without some keys. */
const without = (keys, text) =>
  JSON.stringify(JSON.parse(text), (key, value) => (keys.includes(key) ? undefined : value));

/** Keys that depend on the clock, and the checksum of the samples, whose form a release may change. */
const timed = ['samplesPerSecond'];
const state = { 'trainer_state.json': ['samples'] };

/** The results of a run by name: each metrics record, and a line for each file of a checkpoint. */
function outcome(run) {
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
  const metrics = lines.map((line, i) => [`metrics line ${i + 1}`, without(timed, line)]);
  const checkpoints = join(run, 'checkpoints');
  const files = readdirSync(checkpoints)
    .sort()
    .flatMap((name) =>
      readdirSync(join(checkpoints, name))
        .sort()
        .map((file) => {
          const path = join(checkpoints, name, file);
          return [`${name}/${file}`, file in state ? without(state[file], readFileSync(path, 'utf8')) : hash(path)];
        }),
    );
  return new Map([...metrics, ...files]);
}

function train(checkout, side, name, flags) {
  const out = join(folder, `${name}-${side}`);
  const fixed = ['--data', data, '--out', out, '--preset', 'tiny', '--seed', '1', '--max-steps', steps];
  lxmert(checkout, 'pretrain', ...fixed, '--save-every', '100', '--valid-every', '100', ...flags);
  return outcome(out);
}

function parity(checkout, fixture) {
  const path = join(resolve(now), 'test', 'fixtures', fixture);
  return new Map([['report', lxmert(checkout, 'parity', path, '--json').trim()]]);
}

/** Removes from a JSON record, at every depth, the keys that another record does not have. Returns other text unchanged. */
function keysOf(text, other) {
  if (!text?.startsWith('{') || !other?.startsWith('{')) return text;
  const pick = (value, model) =>
    typeof value === 'object' && value !== null && typeof model === 'object' && model !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).flatMap(([k, v]) => (k in model ? [[k, pick(v, model[k])]] : [])))
      : value;
  return JSON.stringify(pick(JSON.parse(text), JSON.parse(other)));
}

/**
 * Compares all results of OLD. Prints the number of additional records and files of NEW.
 * @returns whether both are equal; this is also printed
 */
function compare(name, ofOld, ofNew) {
  const differs = [...ofOld].find(([key, value]) => keysOf(ofNew.get(key), value) !== value);
  const added = [...ofNew].filter(([key, value]) => ofOld.get(key) !== value && !differs);
  say(`${name.padEnd(10)} ${differs ? 'DIFFERENT' : `${ofOld.size} lines, files or reports: the same bits`}`);
  if (differs) say(`  ${differs[0]}\n  old: ${differs[1]}\n  new: ${ofNew.get(differs[0]) ?? 'nothing'}`);
  if (added.length > 0) say(`  ${added.length} have more in NEW, such as ${added[0][0]}`);
  return !differs;
}

try {
  lxmert(old, 'scenes', '--out', data, '--images', '400', '--pictures', '0');
  const results = [
    ...Object.entries(runs).map(([name, flags]) =>
      compare(name, train(old, 'old', name, flags), train(now, 'new', name, flags)),
    ),
    ...fixtures.map((fixture) => compare(fixture, parity(old, fixture), parity(now, fixture))),
  ];
  if (results.includes(false)) process.exitCode = 1;
} catch (error) {
  say(`compare-checkouts: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
