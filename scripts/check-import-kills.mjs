#!/usr/bin/env node
/**
 * Kills an import or an extraction of features many times at random times, continues it each time, and compares the store with
 * that of an undisturbed one:
 *
 *   node scripts/check-import-kills.mjs FILE [--kills 20] [--seed 1] [-- more options of the import]
 *   node scripts/check-import-kills.mjs PICTURES --detector detector.onnx [--kills 10] [-- more options of the extraction]
 *
 * The work should take several seconds, so that there is time for a kill: a file of several hundred MB, or a hundred pictures.
 * Needs the compiled package (`npm run setup`).
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const end = process.argv.indexOf('--');
const own = end < 0 ? process.argv.slice(2) : process.argv.slice(2, end);
const { values, positionals } = parseArgs({
  args: own,
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    detector: { type: 'string' },
  },
});
const [file] = positionals;
if (file === undefined) {
  console.error('which file is to be imported? node scripts/check-import-kills.mjs FILE');
  process.exit(2);
}
const { detector } = values;
const usual = detector === undefined ? ['--shard-size', '16'] : [];
const more = end < 0 ? usual : process.argv.slice(end + 1);
const command = detector === undefined ? ['import', file] : ['extract', file, '--detector', detector];

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'lxmert-kills-'));

/** Runs the command, and kills it after `killAfter` milliseconds. */
function makeStore(out, killAfter) {
  const child = spawn(process.execPath, [program, 'features', ...command, '--out', out, ...more], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (text) => (errors += text));
  const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter);
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, errors });
    });
  });
}

async function hashesOf(store) {
  const hashes = {};
  for (const name of (await readdir(store)).sort()) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(join(store, name))) hash.update(chunk);
    hashes[name] = hash.digest('hex');
  }
  return hashes;
}

let state = Number(values.seed) >>> 0;
/** A random number from 0 to 1 (mulberry32). */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let x = Math.imul(state ^ (state >>> 15), 1 | state);
  x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
}

const there = (path) =>
  stat(path).then(
    () => true,
    () => false,
  );

try {
  const whole = join(folder, 'whole');
  const started = performance.now();
  const undisturbed = await makeStore(whole);
  if (undisturbed.code !== 0) throw new Error(`the undisturbed command failed: ${undisturbed.errors}`);
  const time = performance.now() - started;
  const expected = JSON.stringify(await hashesOf(whole));
  console.log(`undisturbed: ${(time / 1000).toFixed(1)} s, ${Object.keys(JSON.parse(expected)).length} files`);

  const out = join(folder, 'killed');
  let kills = 0;
  for (let stores = 1; kills < Number(values.kills); stores++) {
    for (;;) {
      // The time is usually longer than the import of a shard, so that each attempt makes progress.
      const { code, signal, errors } = await makeStore(
        out,
        kills < Number(values.kills) ? 150 + random() * time * 0.7 : undefined,
      );
      if (code === 0) break;
      if (signal !== 'SIGKILL') throw new Error(`a continued command failed: ${errors}`);
      kills++;
      // Until the store is whole, it has another name.
      if ((await there(out)) && ((await there(join(`${out}.importing`, 'store'))) || (await there(`${out}.part`))))
        throw new Error('a store is there before it is whole');
    }
    if (JSON.stringify(await hashesOf(out)) !== expected) throw new Error('the continued store has other bytes');
    console.log(`store ${stores}: equal bytes, ${kills} kills so far`);
    await rm(out, { recursive: true });
  }
  console.log(`passed: ${kills} kills`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
