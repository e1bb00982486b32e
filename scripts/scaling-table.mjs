// Prints the tables of docs/scaling.md: a model of steps on many GPUs, and the same model beside the measured CPU ranks of
// docs/ranks.md. Computes only; needs `npm run build`.
import { h200Cluster, h200Step, scaledStep, stepTimesOf } from '../dist/bench/index.js';

const row = (cells) => console.log(`| ${cells.join(' | ')} |`);
const ms = (seconds) => (1000 * seconds).toFixed(1);

const jobs = [
  { machines: 1, links: [400], batches: [256, 2048, 8192] },
  { machines: 8, links: [400, 3200], batches: [256, 2048, 16384] },
  { machines: 64, links: [400, 3200], batches: [2048, 16384, 131072] },
];
row([
  'GPUs',
  'Gb/s a machine',
  'global batch',
  'a GPU',
  'kernels, ms',
  'sums, ms',
  'exposed, ms',
  'step, ms',
  'samples/s',
  'efficiency',
  'longest',
]);
row(Array(11).fill('---:'));
for (const { machines, links, batches } of jobs)
  for (const link of links)
    for (const batch of batches) {
      const job = scaledStep(h200Cluster(machines, link), h200Step, batch);
      const times = [job.computeSeconds, job.communicationSeconds, job.exposedSeconds, job.stepSeconds].map(ms);
      const speed = [Math.round(job.samplesPerSecond).toLocaleString('en'), `${Math.round(100 * job.efficiency)} %`];
      row([job.ranks, machines === 1 ? '' : link, batch, job.samplesPerRank, ...times, ...speed, job.bottleneck]);
    }

// Measured with `bench step --ranks 2`: milliseconds of one process and of two ranks.
const measured = [
  { batch: 8, alone: 1598, two: 1595 },
  { batch: 32, alone: 4868, two: 3285 },
];
const step = stepTimesOf(
  [
    { batch: 8, seconds: 1.598 },
    { batch: 32, seconds: 4.868 },
  ],
  { backwardShare: 0.65, gradientBytes: 912e6, bucketBytes: 16 * 2 ** 20 },
);
const cpus = {
  ...{ machines: 1, ranksPerMachine: 2, insideBytesPerSecond: 0.79e9, outsideBytesPerSecond: Infinity },
  ...{ bucketSeconds: 0, taken: 0.5 },
};
console.log('');
row(['batch', 'one process, ms', 'two ranks, measured, ms', 'two ranks, computed, ms', 'difference']);
row(Array(5).fill('---:'));
for (const { batch, alone, two } of measured) {
  const computed = 1000 * scaledStep(cpus, step, batch).stepSeconds;
  row([batch, alone, two, Math.round(computed), `${Math.round(100 * (computed / two - 1))} %`]);
}
