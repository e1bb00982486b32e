/**
 * Damages files of weights in many ways and reads each: flips bits, sets bytes, cuts the file, swaps fields, moves pieces.
 * Each file must be read, or refused with an LxmertError, in a short time. If the form has checksums (the zip of
 * torch.save), the numbers that are read must be those that were saved.
 *
 *   node scripts/fuzz-weights.mjs [--cases 10000] [--seed 1] [FOLDER of files]
 *
 * The exit code is 1 if a case fails. Run `npm run setup` first.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { at } from './lib/paths.mjs';
import { say } from './lib/process.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { cases: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } },
});
const program = at('dist', 'weights', 'index.js');
if (!existsSync(program)) {
  say('fuzz-weights: build first: npm run setup');
  process.exit(1);
}
const [{ listWeights }, { fuzz }] = await Promise.all([import(program), import('./lib/fuzz.mjs')]);

const folder = positionals[0] ?? at('test', 'fixtures', 'weights');
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.(pth|bin|safetensors|gz)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .sort();
const work = await mkdtemp(join(tmpdir(), 'fuzz-'));
const began = performance.now();
try {
  const { cases, read, refused, slowest, failures } = await fuzz({
    files,
    work,
    cases: Number(values.cases),
    seed: Number(values.seed),
    list: async (path) => (await listWeights(path)).tensors,
    onProgress: (done) => done % 1000 === 0 && say(`${done} cases`),
  });
  failures.forEach((text) => say(`FAILED: ${text}`));
  const seconds = (performance.now() - began) / 1000;
  const resident = process.resourceUsage().maxRSS / 1024;
  say(
    `${cases} cases over ${files.length} files in ${seconds.toFixed(0)} s: ${read} read, ${refused} refused, ${failures.length} failed; ` +
      `the slowest took ${slowest.toFixed(0)} ms; at most ${resident.toFixed(0)} MB resident`,
  );
  process.exitCode = failures.length > 0 ? 1 : 0;
} finally {
  await rm(work, { recursive: true, force: true });
}
