import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fakeRun, metricsOf, newestFiles } from './support/runs.js';

let parent: string;
let out: string;
let serial = 0;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'early-'));
});
beforeEach(() => {
  out = join(parent, `run-${serial++}`);
});
afterAll(() => rm(parent, { recursive: true, force: true }));

interface Valid {
  readonly step: number;
  readonly loss: number;
  readonly epoch: number;
}

const validations = async (run: string) =>
  (await metricsOf(run)).filter((record) => 'split' in record) as unknown as Valid[];

const state = async (run: string) =>
  JSON.parse(await readFile(join(run, 'checkpoints/last/trainer_state.json'), 'utf8')) as {
    step: number;
    best: { step: number };
    validationsSinceBest: number;
  };

/** The step after which `patience` validations in a row were no better; undefined if there is none. */
function expectedEnd(records: readonly Valid[], patience: number): number | undefined {
  let best = Infinity;
  let worse = 0;
  for (const { step, loss } of records) {
    if (loss < best) [best, worse] = [loss, 0];
    else if (++worse >= patience) return step;
  }
  return undefined;
}

/** With this rate the loss of the fake model soon gets worse again. */
const flags = { 'max-steps': '60', 'valid-every': '2', lr: '0.4' };

test('a run saves and ends as finished after N validations without a better loss', async () => {
  const whole = join(parent, 'whole');
  await fakeRun(whole, { flags });
  const records = await validations(whole);
  const end = expectedEnd(records, 3)!;
  expect(end).toBeLessThan(60);

  const { summary, notes } = await fakeRun(out, { flags: { ...flags, 'early-stop': '3' } });
  expect(summary).toMatchObject({ step: end, totalSteps: 60, finished: true, stoppedEarly: true });
  expect(notes.join('\n')).toMatch(/stops early: 3 validations in a row without a better loss than/);
  expect(await metricsOf(out)).toEqual((await metricsOf(whole)).slice(0, (await metricsOf(out)).length));
  expect(await state(out)).toMatchObject({ step: end, validationsSinceBest: 3, best: summary.best });

  const again = await fakeRun(out, { flags: { ...flags, 'early-stop': '3' }, resume: true });
  expect(again.summary).toMatchObject({ step: end, finished: true, stoppedEarly: true });
  expect(again.notes.join()).toMatch(new RegExp(`is finished: it stopped early, after step ${end}`));
  expect(again.model).toBeUndefined();

  const patient = await fakeRun(out, { flags: { ...flags, 'early-stop': '1000' }, resume: true });
  expect(patient.summary).toMatchObject({ step: 60, finished: true, stoppedEarly: false });
  expect(await metricsOf(out)).toEqual(await metricsOf(whole));
});

test('a run that is stopped and resumed at any step ends at the same step', async () => {
  const straight = join(parent, 'straight');
  const early = { ...flags, 'early-stop': '3' };
  const { summary } = await fakeRun(straight, { flags: early });
  for (let left = true, rounds = 0; left; rounds++) {
    expect(rounds).toBeLessThan(40);
    const stop = new AbortController();
    let steps = 0;
    const observer = {
      stepDone: () => {
        if (++steps === 3) stop.abort();
      },
    };
    const part = await fakeRun(out, { flags: early, resume: rounds > 0, signal: stop.signal, observer });
    left = !part.summary.finished;
  }
  expect((await state(out)).step).toBe(summary.step);
  expect(await metricsOf(out)).toEqual(await metricsOf(straight));
  expect(await newestFiles(out)).toEqual(await newestFiles(straight));
});

test('when the task mix changes, the search for the best loss starts again', async () => {
  const mix = { 'qa-from-epoch': '2', 'qa-weight': '20', 'max-steps': '20', 'valid-every': '5' };
  const { summary } = await fakeRun(out, { flags: mix });
  const records = await validations(out);
  const late = records.filter(({ epoch }) => epoch >= 2);
  const least = (list: readonly Valid[]) => list.reduce((a, b) => (b.loss < a.loss ? b : a));
  expect(least(records).epoch).toBeLessThan(2);
  expect(summary.best?.step).toBe(least(late).step);
});

test('early stopping is refused without a validation', async () => {
  await expect(fakeRun(out, { flags: { valid: 'none', 'early-stop': '2' } })).rejects.toMatchObject({
    code: 'BAD_ARGUMENT',
    message: expect.stringContaining('--early-stop: it counts validations'),
  });
});
