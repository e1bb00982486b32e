import { expect, test } from '@jest/globals';
import { TrainProgress, duration, figure } from '../../src/cli/trainProgress.js';
import type { StepRecord } from '../../src/train/index.js';

function progressOn(stream: { isTTY?: boolean; columns?: number }) {
  const written: string[] = [];
  let time = 0;
  const progress = new TrainProgress({
    stream: { ...stream, write: (text) => written.push(text) },
    now: () => time,
  });
  progress.observer.started?.({
    step: 0,
    totalSteps: 1000,
    batchesPerEpoch: 50,
    parameters: 4_700_000,
    folder: 'runs/x',
  });
  const step = (number: number, milliseconds: number) => {
    time += milliseconds;
    progress.observer.stepDone?.({ ...record, step: number });
  };
  const wait = (milliseconds: number) => (time += milliseconds);
  return { progress, written, step, wait };
}

const record: StepRecord = {
  step: 1,
  epoch: 0,
  lr: 1,
  loss: 12.3456,
  losses: { maskedLm: 10.4, qa: 0.00123 },
  gradNorm: 1,
  samplesPerSecond: 1234.5,
};

test('without a terminal, it prints a line every five seconds and a last line', () => {
  const { progress, written, step } = progressOn({});
  for (let i = 1; i <= 25; i++) step(i, 1000);
  progress.end();
  expect(written.map((text) => text.slice(0, 14))).toEqual([
    'runs/x: 1,000 ',
    'step 1/1,000  ',
    'step 6/1,000  ',
    'step 11/1,000 ',
    'step 16/1,000 ',
    'step 21/1,000 ',
    'step 25/1,000 ',
  ]);
  expect(written[1]).toBe('step 1/1,000  16:39 left  1,235 samples/s  loss 12.3 (maskedLm 10.4, qa 0.00123)\n');
  progress.end();
  expect(written).toHaveLength(7);
});

test('the estimate of the remaining time ignores the time of validation and saving', () => {
  const { progress, written, step, wait } = progressOn({});
  step(1, 100);
  wait(3_600_000);
  progress.observer.validated?.(
    { step: 1, epoch: 0, split: 'valid', loss: 3, losses: {}, accuracy: { qa: 0.25 } },
    true,
  );
  step(2, 100);
  expect(written.at(-2)).toBe('validation after step 1: loss 3.00; right: qa 25.0 % (best so far)\n');
  expect(written.at(-1)).toMatch(/^step 2\/1,000 {2}1:40 left {2}/);
});

test('on a terminal, it rewrites one line, cuts it to the width of the terminal, and removes it at the end', () => {
  const { progress, written, step } = progressOn({ isTTY: true, columns: 46 });
  step(1, 200);
  step(2, 10);
  step(3, 200);
  expect(written).toHaveLength(3);
  expect(written[1]).toBe(`\r\x1b[K${'░'.repeat(20)} step 1/1,000  3:20 left `);
  progress.observer.saved?.('runs/x/checkpoints/step-00000003', 3);
  expect(written.at(-1)).toBe('\r\x1b[Ksaved runs/x/checkpoints/step-00000003\n');
  progress.end();
  expect(written.at(-1)).toBe('\r\x1b[K');
});

test('shows the progress of loading features to the device', () => {
  const { progress, written, wait } = progressOn({});
  for (const share of [0.1, 0.2, 0.6]) {
    progress.observer.loading?.(share);
    wait(3000);
  }
  progress.observer.note?.('features are there');
  expect(written.slice(1)).toEqual(
    ['10.0', '60.0'].map((text) => `features: ${text} % on the device\n`).concat('features are there\n'),
  );
});

test('formats numbers and durations', () => {
  expect([0.123456, 12.345, 123.4, 12345.6, NaN].map(figure)).toEqual(['0.123', '12.3', '123', '12,346', 'NaN']);
  expect([0, 59.6, 61, 3600, 360_000].map(duration)).toEqual(['0:00', '1:00', '1:01', '1:00:00', '100:00:00']);
});
