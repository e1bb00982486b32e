import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MetricsFile, lastValidation, readMetrics } from '../../src/train/metrics.js';
import type { StepRecord, ValidRecord } from '../../src/train/metrics.js';

let folder: string;
let serial = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'metrics-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const newPath = () => join(folder, `${serial++}.jsonl`);

const stepRecord = (step: number): StepRecord => ({
  step,
  epoch: 0,
  lr: step / 1000,
  loss: 1 / step,
  losses: { maskedLm: 1 / step },
  gradNorm: 1,
  samplesPerSecond: 10,
});
const validRecord = (step: number): ValidRecord => ({
  step,
  epoch: 0,
  split: 'valid',
  loss: 2,
  losses: { maskedLm: 2 },
  accuracy: { maskedLm: 0.5 },
});

async function written(steps: number): Promise<string> {
  const path = newPath();
  const { metrics } = await MetricsFile.open(path, 0);
  for (let step = 1; step <= steps; step++) {
    await metrics.append(stepRecord(step));
    if (step % 10 === 0) await metrics.append(validRecord(step));
  }
  await metrics.close();
  return path;
}

async function cut(path: string, steps: number): Promise<number> {
  const { metrics, stepsFound } = await MetricsFile.open(path, steps);
  await metrics.close();
  return stepsFound;
}

const steps = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { step: number }).step);

test('each line is one compact JSON object with its keys in a fixed order', async () => {
  const lines = (await readFile(await written(10), 'utf8')).split('\n');
  expect(lines[0]).toBe(
    '{"step":1,"epoch":0,"lr":0.001,"loss":1,"losses":{"maskedLm":1},"gradNorm":1,"samplesPerSecond":10}',
  );
  expect(lines[10]).toBe(
    '{"step":10,"epoch":0,"split":"valid","loss":2,"losses":{"maskedLm":2},"accuracy":{"maskedLm":0.5}}',
  );
  expect(lines[11]).toBe('');
});

test('every line is in the file as soon as it is appended', async () => {
  const path = newPath();
  const { metrics } = await MetricsFile.open(path, 0);
  await metrics.append(stepRecord(1));
  expect(await readFile(path, 'utf8')).toBe(`${JSON.stringify(stepRecord(1))}\n`);
  await metrics.close();
});

test('the file is cut after a step, and keeps the validation that follows this step', async () => {
  const path = await written(35);
  expect(await cut(path, 20)).toBe(20);
  const text = await readFile(path, 'utf8');
  expect(steps(text)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 20]);
  expect(await cut(path, 0)).toBe(0);
  expect(await readFile(path, 'utf8')).toBe('');
});

test('a file longer than one read is cut at the right byte', async () => {
  const path = await written(3000);
  const whole = await readFile(path, 'utf8');
  expect(whole.length).toBeGreaterThan(200_000);
  await cut(path, 2995);
  const text = await readFile(path, 'utf8');
  expect(whole.startsWith(text)).toBe(true);
  expect(steps(text).at(-1)).toBe(2995);
  expect(whole.slice(text.length)).toMatch(/^\{"step":2996,/);
});

test.each(['{"step":4,"ep', '{"step":4,"epoch":0}', '\0\0\0\0', '[]\n{"step":4}\n'])(
  'drops a torn last line: %j',
  async (tail) => {
    const path = await written(3);
    const whole = await readFile(path, 'utf8');
    await appendFile(path, tail);
    expect(await cut(path, 100)).toBe(3);
    expect(await readFile(path, 'utf8')).toBe(whole);
  },
);

test('if lines are missing, the error gives the number of steps in the file', async () => {
  const path = await written(7);
  expect(await cut(path, 9)).toBe(7);
});

test('the file is read again, and the last validation is found', async () => {
  const path = await written(25);
  await appendFile(path, '{"step":26,');
  const all = [];
  for await (const record of readMetrics(path)) all.push(record);
  expect(all).toHaveLength(27);
  expect(await lastValidation(path)).toEqual(validRecord(20));
  expect(await lastValidation(join(folder, 'gone'))).toBeUndefined();
});

test('the error names a path that cannot be written', async () => {
  const file = newPath();
  await writeFile(file, '');
  await expect(MetricsFile.open(join(file, 'metrics.jsonl'), 0)).rejects.toMatchObject({
    code: 'FILE_ACCESS',
    message: expect.stringContaining(join(file, 'metrics.jsonl')),
  });
});
