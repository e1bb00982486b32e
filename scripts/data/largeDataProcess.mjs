/** The program of the separate process in which `check-large-data.mjs` runs a part. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadRunConfig } from '../../dist/config/loadConfig.js';
import { importFeatures } from '../../dist/imports/index.js';
import { openPretrainRun } from '../../dist/pretrain/openParts.js';

const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
const most = () => process.resourceUsage().maxRSS * 1024;
const seconds = (from) => (performance.now() - from) / 1000;

const sizeOf = (path) => {
  const found = statSync(path);
  return found.isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
    : found.size;
};

async function importOne(form, path, store) {
  const started = performance.now();
  const { manifest } = await importFeatures([path], store);
  const size = sizeOf(path);
  const time = seconds(started);
  console.log(
    `${form}: ${megabytes(size)} MB, ${manifest.images} images in ${time.toFixed(1)} s: ${megabytes(size / time)} MB/s; ` +
      `at most ${megabytes(most())} MB resident, ${(process.cpuUsage().user / 1e6).toFixed(1)} s user, ` +
      `${(process.cpuUsage().system / 1e6).toFixed(1)} s system`,
  );
}

async function opened(folder) {
  process.env.LXMERT_CACHE = join(folder, 'cache');
  const flags = { data: folder, train: 'train', valid: 'none', 'visual-losses': 'feat', 'batch-size': '256' };
  const config = await loadRunConfig({ flags, preset: 'tiny' });
  return openPretrainRun(config, { observer: { note: (text) => console.log(`  ${text}`) } });
}

async function start(name, folder) {
  const started = performance.now();
  const data = await opened(folder);
  const open = seconds(started);
  for await (const { parts } of data.source.train({ epoch: 0, batch: 0 })) {
    parts.forEach((part) => data.source.release(part));
    break;
  }
  console.log(
    `start ${name}: open in ${open.toFixed(1)} s, first batch after ${seconds(started).toFixed(1)} s; ` +
      `at most ${megabytes(most())} MB resident, ${megabytes(process.memoryUsage().rss)} MB then`,
  );
  await data.close();
}

/** Slope of the line that fits some points best. */
function slopeOf(points) {
  const mean = (i) => points.reduce((sum, point) => sum + point[i], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const [up, across] = points.reduce(
    ([a, b], point) => [a + (point[0] - x) * (point[1] - y), b + (point[0] - x) ** 2],
    [0, 0],
  );
  return up / across;
}

async function soak(folder) {
  const data = await opened(folder);
  const points = [];
  const started = performance.now();
  let samples = 0;
  let next = 0;
  for await (const { parts } of data.source.train({ epoch: 0, batch: 0 })) {
    parts.forEach((part) => {
      samples += part.size;
      data.source.release(part);
    });
    if (samples < next) continue;
    points.push([samples, process.memoryUsage().rss]);
    next += 50_000;
    if (samples >= 1_000_000) break;
  }
  // The first tenth fills the heap and the memory that later batches use again.
  const settled = points.slice(Math.ceil(points.length / 10));
  const slope = slopeOf(settled) * 1e6;
  console.log(
    `soak: ${samples} samples in ${seconds(started).toFixed(0)} s; ${points.map(([, rss]) => megabytes(rss)).join(' ')} MB resident; ` +
      `slope ${megabytes(slope)} MB a million samples`,
  );
  await data.close();
}

const [part, ...args] = process.argv.slice(2);
await { import: importOne, start, soak }[part](...args);
