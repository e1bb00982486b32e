// Shows that two checkouts compute the same bits: `node scripts/compare-checkouts.mjs OLD NEW [STEPS]`.
// OLD and NEW are folders of checkouts in which `npm run setup` has run. Each checkout trains on the same scenes, several
// times with other settings, and runs the parity fixtures. All lines of metrics.jsonl (without samplesPerSecond), all
// files of every checkpoint and all parity figures must be equal. STEPS is 300 unless given.
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

/** Flags of `lxmert pretrain` beside the data, preset, seed and number of steps. Epochs of these scenes have 29 steps. */
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

/** What a run left: a line for each metrics record and each file of a checkpoint. */
function outcome(run) {
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
  const metrics = lines.map((line) => JSON.stringify({ ...JSON.parse(line), samplesPerSecond: undefined }));
  const checkpoints = join(run, 'checkpoints');
  const files = readdirSync(checkpoints)
    .sort()
    .flatMap((name) =>
      readdirSync(join(checkpoints, name))
        .sort()
        .map((file) => `${name}/${file} ${hash(join(checkpoints, name, file))}`),
    );
  return [...metrics, ...files];
}

function train(checkout, side, name, flags) {
  const out = join(folder, `${name}-${side}`);
  const fixed = ['--data', data, '--out', out, '--preset', 'tiny', '--seed', '1', '--max-steps', steps];
  lxmert(checkout, 'pretrain', ...fixed, '--save-every', '100', '--valid-every', '100', ...flags);
  return outcome(out);
}

function parity(checkout, fixture) {
  const path = join(resolve(now), 'test', 'fixtures', fixture);
  return [lxmert(checkout, 'parity', path, '--json')];
}

/** @returns whether both are equal, after saying so */
function compare(name, ofOld, ofNew) {
  const at = ofOld.findIndex((line, i) => line !== ofNew[i]);
  const same = at < 0 && ofOld.length === ofNew.length;
  say(`${name.padEnd(10)} ${same ? `${ofOld.length} lines, files or reports: the same bits` : 'DIFFERENT'}`);
  if (!same) say(`  old: ${ofOld[at] ?? 'nothing'}\n  new: ${ofNew[at] ?? 'nothing'}`);
  return same;
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
