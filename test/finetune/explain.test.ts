/**
 * Tests explanations of answers to a split's questions, from the command line and from the library, and the
 * perturbation test.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finetune, openModel, perturbationTest } from '../../src/finetune/index.js';
import type { ExplainedQuestion, PerturbationReport } from '../../src/finetune/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { smallModel } from './questionScenes.js';
import { command, refused } from './support.js';

jest.setTimeout(240_000);

let folder: string;
let data: string;
let model: string;
const table = { explain: () => import('../../src/cli/explain.js') };
const explain = (...args: string[]) =>
  command(table, 'explain', model, '--data', data, '--device', 'cpu', '--threads', '1', ...args);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-explain-'));
  data = join(folder, 'data');
  await writeScenes({ out: data, images: 16, seed: 1, pictures: 4 });
  model = join(folder, 'run');
  const steps = { lr: '1e-3', 'batch-size': '8', 'max-steps': '4', valid: 'none', device: 'cpu', threads: '1' };
  await finetune({ sources: { flags: { ...smallModel, task: 'vqa', train: 'train', data, out: model, ...steps } } });
  await finetune({
    sources: {
      flags: { ...smallModel, task: 'nlvr2', train: 'train', data, out: join(folder, 'pairs'), ...steps },
    },
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Printed {
  readonly explained: readonly ExplainedQuestion[];
  readonly files: readonly string[];
}
const parse = ({ out, code }: { out: string; code: number }): Printed => {
  expect(code).toBe(0);
  return JSON.parse(out) as Printed;
};

describe('lxmert explain', () => {
  test('gives words, boxes, relevancies and the answer, as the library does', async () => {
    const { explained } = parse(await explain('--split', 'train', '--limit', '3', '--json'));
    expect(explained).toHaveLength(3);
    await using opened = await openModel(model, { device: 'cpu', threads: 1 });
    for (const { answer, words, boxes, probability } of explained) {
      expect(opened.answers).toContain(answer);
      expect(probability).toBeGreaterThan(0);
      expect([words[0], words[words.length - 1]].map(({ text }) => text)).toEqual(['[CLS]', '[SEP]']);
      expect(words[0].relevance).toBe(0);
      expect(Math.max(...words.map(({ relevance }) => relevance))).toBeGreaterThan(0);
      expect(boxes.every(({ box, relevance }) => box.length === 4 && relevance >= 0)).toBe(true);
    }
  });

  test('a picture is named by its id, its questions by their numbers', async () => {
    const all = parse(await explain('--split', 'train', '--id', 'scene_train_00000001', '--json')).explained;
    expect(all.length).toBeGreaterThan(1);
    expect(new Set(all.map(({ image }) => image))).toEqual(new Set(['scene_train_00000001']));
    const second = await explain('--split', 'train', '--id', 'scene_train_00000001', '--question', '2', '--json');
    expect(parse(second).explained).toEqual([all[1]]);
    const byId = await explain('--split', 'train', '--id', all[1].id, '--json');
    expect(parse(byId).explained.map(({ id }) => id)).toEqual([all[1].id]);
  });

  test('any attention map of any head, and the other methods', async () => {
    const one = ['--split', 'train', '--limit', '1', '--json'];
    const [{ attention, words, boxes }] = parse(
      await explain(...one, '--map', 'cross_lang_to_vision.1', '--head', '1'),
    ).explained;
    expect([attention!.length, attention![0].length]).toEqual([words.length, boxes.length]);
    for (const row of attention!) expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    expect(boxes.map(({ relevance }) => relevance)).toEqual(attention![0]);
    const printed = new Set<string>();
    for (const method of ['relevancy', 'attention', 'rollout'])
      printed.add(JSON.stringify(parse(await explain(...one, '--method', method)).explained));
    expect(printed.size).toBe(3);
  });

  test('draws boxes over the picture, or over an empty frame with a note', async () => {
    const out = join(folder, 'drawn');
    const pictures = join(data, 'pictures');
    const drawn = await explain('--split', 'train', '--limit', '2', '--out', out, '--pictures', pictures, '--json');
    const { files } = parse(drawn);
    expect(files).toHaveLength(2);
    for (const file of files) expect(readFileSync(file, 'utf8')).toContain('href="data:image/svg+xml;base64,');
    const file = join(folder, 'one.svg');
    const empty = await explain('--split', 'valid', '--limit', '1', '--out', file, '--pictures', pictures);
    expect(empty.err).toMatch(/has no picture scene_valid_00000000 .*empty frame/);
    expect(readFileSync(file, 'utf8')).not.toContain('<image');
  });

  test.each([
    [['--limit', '1', '--question', '1'], /--question needs --id/],
    [[], /name a question or a picture with --id, or take some with --limit/],
    [['--id', 'nobody'], /"nobody": train .* has neither a question nor a picture of this id/],
    [['--id', 'scene_train_00000001', '--question', '999'], /--question 999: .* has \d+ questions .*expected 1 to \d+/],
    [['--limit', '1', '--map', 'language.7'], /--map "language.7": expected one of language.0 to .0, /],
    [['--limit', '1', '--map', 'language.0', '--head', '2'], /--head 2: the model has 2 heads; expected 0 to 1/],
    [['--limit', '2', '--out', 'x.svg'], /there are 2 explanations, and a file holds one/],
    [['--limit', '1', '--out', '/tmp', '--pictures', '/nowhere'], /--pictures \/nowhere: there is no such folder/],
    [['--test', '--id', '1'], /--id does not go with --test/],
  ])('%j is refused', async (flags, message) => {
    const { code, err } = await explain('--split', 'train', ...flags);
    expect(code).not.toBe(0);
    expect(err).toMatch(message);
    expect(existsSync('x.svg')).toBe(false);
  });

  test('a model of two pictures is refused', async () => {
    const args = ['explain', join(folder, 'pairs'), '--data', data, '--split', 'train', '--limit', '1'];
    const { code, err } = await command(table, ...args, '--device', 'cpu');
    expect(code).toBe(1);
    expect(err).toMatch(/it takes two pictures a question/);
  });
});

describe('openModel', () => {
  test('explains the best answer, or another one; an answer that it cannot give is refused', async () => {
    await using opened = await openModel(model, { device: 'cpu', threads: 1 });
    const picture = {
      features: new Float32Array(2 * 128).fill(0.1),
      boxes: Float32Array.of(0, 0, 0.5, 1, 0.5, 0, 1, 1),
    };
    const question = 'is there a red circle?';
    const [best, second] = await opened.answer(picture, question, { top: 2 });
    const explained = await opened.explain(picture, question);
    expect(explained.answer).toBe(best.answer);
    expect(explained.probability).toBeCloseTo(best.probability, 5);
    expect([explained.words.length, explained.boxes.length]).toEqual([explained.tokens.length, 2]);
    const other = await opened.explain(picture, question, { answer: second.answer });
    expect(other.answer).toBe(second.answer);
    expect(other.words).not.toEqual(explained.words);
    await refused(opened.explain(picture, question, { answer: 'a zebra' }), 'BAD_ARGUMENT', '"a zebra" is not one of');
    // An explanation changes nothing.
    expect(await opened.answer(picture, question, { top: 2 })).toEqual([best, second]);
  });
});

test('the perturbation test begins with the accuracy, and gives the same again', async () => {
  const request = {
    ...{ checkpoint: model, data, splits: ['train'], questions: 12, batchSize: 5, seed: 3 },
    engine: { device: 'cpu', threads: 1 } as const,
  };
  const { forwardsPerExplanation, ...report } = await perturbationTest(request);
  expect(forwardsPerExplanation).toBeGreaterThan(0);
  expect(report.questions).toBe(12);
  expect(report.curves).toHaveLength(2 * 2 * 4);
  for (const { accuracy, area, error, method, beyondRelevancy } of report.curves) {
    expect(accuracy[0]).toBe(report.curves[0].accuracy[0]);
    expect(area).toBeGreaterThanOrEqual(0);
    expect(error).toBeGreaterThanOrEqual(0);
    if (method === 'relevancy') expect(beyondRelevancy).toEqual({ mean: 0, error: 0 });
  }
  const ends = (part: string) =>
    report.curves.filter((one) => one.part === part).map(({ accuracy }) => accuracy.at(-1));
  expect(new Set(ends('words')).size).toBe(1); // if all words are removed, the order has no effect
  const { forwardsPerExplanation: _, ...again } = await perturbationTest(request);
  expect(again).toEqual(report satisfies Omit<PerturbationReport, 'forwardsPerExplanation'>);
  const printed = await explain('--split', 'train', '--test', '--limit', '4');
  expect(printed.out).toMatch(/relevancy .*\n.*attention .*\n.*rollout .*\n.*random /);
});
