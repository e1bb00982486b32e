import { expect, test } from '@jest/globals';
import { scaledStep, stepTimesOf, type Cluster } from '../../src/bench/scaling.js';

const cluster: Cluster = {
  ...{ machines: 1, ranksPerMachine: 4, insideBytesPerSecond: 100, outsideBytesPerSecond: 10 },
  ...{ bucketSeconds: 0, taken: 0.5 },
};
const step = stepTimesOf(
  [
    { batch: 10, seconds: 3 },
    { batch: 20, seconds: 5 },
  ],
  { backwardShare: 0.5, gradientBytes: 100, bucketBytes: 10 },
);

test('two batches give the fixed time and the time of a sample', () => {
  expect(step).toMatchObject({ fixedSeconds: 1, sampleSeconds: 0.2 });
});

test('one rank has no sums', () => {
  const alone = scaledStep({ ...cluster, ranksPerMachine: 1 }, step, 10);
  expect(alone).toMatchObject({ ranks: 1, communicationSeconds: 0, exposedSeconds: 0, stepSeconds: 3, efficiency: 1 });
});

test('sums that fit beside the backward pass slow the kernels; only the last bucket is exposed', () => {
  // 2 × 3/4 × 100 bytes at 100 bytes a second; the backward pass takes 0.5 × 0.2 × 100 s.
  const scaled = scaledStep(cluster, step, 400);
  expect(scaled).toMatchObject({ computeSeconds: 21, communicationSeconds: 1.5, bottleneck: 'kernels' });
  expect(scaled.exposedSeconds).toBeCloseTo(0.15);
  expect(scaled.stepSeconds).toBeCloseTo(21 + 0.5 * 1.5 + 0.15);
});

test('slow links between machines are the bottleneck', () => {
  const scaled = scaledStep({ ...cluster, machines: 2 }, step, 80);
  // 2 × 1/2 × 100 bytes at 10 bytes a second; of the backward pass of 1 s nine tenths hide them.
  expect(scaled).toMatchObject({ ranks: 8, communicationSeconds: 10, bottleneck: 'outside' });
  expect(scaled.exposedSeconds).toBeCloseTo(9.1);
});
