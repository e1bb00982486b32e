// Measures `lxmert serve` under load, and prints tables in Markdown:
//   node scripts/check-serve.mjs rates [ROUNDS] [THREADS]   questions per second and times of a base-size model with 1, 16 and 32
//       askers, beside `lxmert bench answers` at the same batches before and after; 3 rounds and 1 thread unless given
//   node scripts/check-serve.mjs memory [REQUESTS]          resident memory of a tiny model over 10,000 requests unless given
// The weights are random. Each asker sends a question of 8 to 16 tokens with 36 objects, and asks again when it has its answer.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchConfig } from '../dist/bench/config.js';
import { Pretrainer, toTransformersJson, writeSafetensors } from '../dist/index.js';
import { at } from './lib/paths.mjs';
import { say } from './lib/process.mjs';
import { randomFrom } from './lib/trainingRuns.mjs';

const [what = 'rates', first, second] = process.argv.slice(2);
const random = randomFrom(1);
const folder = mkdtempSync(join(tmpdir(), 'lxmert-serve-load-'));
const objects = 36;
const words = 'what color is the small thing near large box that man holds in his hand on table'.split(' ');

/** Writes a model with random weights. */
async function writeModel(preset) {
  const config = benchConfig(preset);
  const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0, maxGradNorm: 0 };
  const model = new Pretrainer({ config, adam, engine: { device: 'cpu' } });
  await model.initialize(1);
  const specs = model.parameters.map(({ name, shape }) => ({ name, shape, dtype: 'F32' }));
  await writeSafetensors(join(folder, 'model.safetensors'), specs, (name) => model.read('parameter', name));
  await model.dispose();
  writeFileSync(join(folder, 'config.json'), toTransformersJson(config));
  const answers = Array.from({ length: config.numQaLabels }, (_, i) => `answer ${i}`);
  writeFileSync(join(folder, 'answers.json'), JSON.stringify(answers));
  return config;
}

/** Starts the server. Its address is in its first line. */
async function start(threads) {
  const args = [at('dist', 'cli', 'main.js'), 'serve', folder, '--port', '0', '--threads', `${threads}`];
  const child = spawn(process.execPath, [...args, '--device', 'cpu', '--request-timeout', '600'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (some) => (text += some));
  while (!text.includes('\n')) await once(child.stdout, 'data');
  return { child, url: /http\S+/.exec(text)[0] };
}

async function stop({ child }) {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Bodies of requests, made before the measurement. */
function requests({ visualFeatDim }, count) {
  return Array.from({ length: count }, () => {
    const features = Float32Array.from({ length: objects * visualFeatDim }, () => random());
    const boxes = Array.from({ length: objects }, () => [0.1 * random(), 0.1, 0.5 + 0.4 * random(), 0.9]);
    const question = Array.from(
      { length: 6 + Math.floor(9 * random()) },
      () => words[Math.floor(words.length * random())],
    );
    const picture = { features: Buffer.from(features.buffer).toString('base64'), boxes };
    return JSON.stringify({ picture, question: question.join(' ') });
  });
}

/** Lets `askers` ask until there are `count` answers. Returns the seconds of each answer, and those of all. */
async function load({ url }, bodies, askers, count) {
  const seconds = [];
  let sent = 0;
  const start = performance.now();
  const asker = async () => {
    while (sent < count) {
      const body = bodies[sent++ % bodies.length];
      const asked = performance.now();
      const response = await fetch(`${url}answer`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      if (response.status !== 200) throw new Error(`status ${response.status}: ${await response.text()}`);
      await response.text();
      seconds.push((performance.now() - asked) / 1000);
    }
  };
  await Promise.all(Array.from({ length: askers }, asker));
  return { seconds, whole: (performance.now() - start) / 1000 };
}

const quantile = (values, share) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))];
const shown = (value) => Number(value.toPrecision(3)).toString();

/** Questions per second of `lxmert bench answers`, by batch. */
function bench(preset, batches, threads, steps) {
  const flags = [
    '--preset',
    preset,
    '--batch',
    batches.join(),
    '--threads',
    `${threads}`,
    '--steps',
    `${steps}`,
    '--warmup',
    '1',
  ];
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [at('dist', 'cli', 'main.js'), 'bench', 'answers', ...flags, '--json'],
    {
      encoding: 'utf8',
    },
  );
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout).batches.map(({ questionsPerSecond }) => questionsPerSecond);
}

async function rates(rounds, threads) {
  const askers = [1, 16, 32];
  const config = await writeModel('base');
  const bodies = requests(config, 64);
  const before = bench('base', askers, threads, rounds);
  say(`before: ${before.map(shown).join(', ')} questions/s`);
  const server = await start(threads);
  const measured = [];
  try {
    for (const count of askers) {
      await load(server, bodies, count, count);
      const { seconds, whole } = await load(server, bodies, count, count * Math.max(rounds, count === 1 ? 10 : 0));
      measured.push({
        count,
        rate: seconds.length / whole,
        median: quantile(seconds, 0.5),
        p99: quantile(seconds, 0.99),
      });
      say(`${count} askers: ${shown(seconds.length / whole)} questions/s`);
    }
  } finally {
    await stop(server);
  }
  const after = bench('base', askers, threads, rounds);
  say(`after: ${after.map(shown).join(', ')} questions/s`);
  say(`load of the machine: ${loadavg().map(shown).join(', ')}`);
  const lines = measured.map(({ count, rate, median, p99 }, i) => {
    const peer = (before[i] + after[i]) / 2;
    return `| ${count} | ${shown(rate)} | ${shown(before[i])}, ${shown(after[i])} | ${Math.round((100 * rate) / peer)} % | ${shown(median)} s | ${shown(p99)} s |`;
  });
  return [
    '| askers | questions/s | `bench answers` before, after | ratio | median | p99 |',
    '| --- | --- | --- | --- | --- | --- |',
    ...lines,
  ];
}

async function memory(count) {
  const config = await writeModel('tiny');
  const bodies = requests(config, 64);
  const server = await start(1);
  const lines = [];
  try {
    for (let done = 0; done <= count; done += count / 10) {
      if (done > 0) await load(server, bodies, 16, count / 10);
      const text = await (await fetch(`${server.url}metrics`)).text();
      const bytes = Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)[1]);
      lines.push(`| ${done.toLocaleString('en')} | ${Math.round(bytes / 1e6)} MB |`);
      say(lines.at(-1));
    }
  } finally {
    await stop(server);
  }
  return ['| requests | resident memory |', '| --- | --- |', ...lines];
}

try {
  const lines =
    what === 'memory' ? await memory(Number(first ?? 10_000)) : await rates(Number(first ?? 3), Number(second ?? 1));
  process.stdout.write(`${lines.join('\n')}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
