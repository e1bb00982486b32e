import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';
import { normalizeAnswer } from '../../src/text/normalizeAnswer.js';
import { matchAnswers, readAnswerList, takeRows } from '../../src/weights/answers.js';
import { convertWeights } from '../../src/weights/index.js';
import type { ConvertOptions } from '../../src/weights/index.js';
import { fixtures, readJson, weightFixtures } from './support.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'answers-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const transfer = join(fixtures, 'answer-transfer');
const awkward: readonly { answer: string; normalised: string; row: number | null }[] = readJson(
  transfer,
  'normalise.json',
);

test.each(awkward)('$answer is normalised as the original does it', ({ answer, normalised }) => {
  expect(normalizeAnswer(answer)).toBe(normalised);
});

test('white space is defined as in Python: U+001C is white space, U+FEFF is not', () => {
  expect(normalizeAnswer('a \x1c cat \x85.')).toBe('cat');
  expect(normalizeAnswer('\ufeffcat\ufeff.')).toBe('\ufeffcat\ufeff');
});

test('rows are found by the normalised string, as in the original', () => {
  const theirs: string[] = Array.from({ length: 9500 }, (_, row) => `(${row})`);
  for (const { normalised, row } of awkward) if (row !== null) theirs[row] = normalised;
  const rows = matchAnswers(
    awkward.map(({ answer }) => answer),
    theirs,
  );
  expect(rows.map((row) => row ?? null)).toEqual(awkward.map(({ row }) => row));
});

test('a normalised answer is searched first in the list as written, then among the normalised answers of the list', () => {
  expect(matchAnswers(['grey', 'Two', 'the dog', 'no'], ['gray', 'The dog', 'Grey', 'two', '2'])).toEqual([
    0,
    4,
    1,
    undefined,
  ]);
});

describe('the initialised heads equal those of the original', () => {
  test.each(['vqa', 'gqa'])('%s', async (task) => {
    const { row, found }: { row: (number | null)[]; found: number } = readJson(transfer, `${task}.json`);
    const rows = row.map((index) => index ?? undefined);
    expect(rows.filter((index) => index !== undefined)).toHaveLength(found);
    await using before = await SafetensorsFile.open(join(transfer, 'pretrained-head.safetensors'));
    await using after = await SafetensorsFile.open(join(transfer, `${task}-head.safetensors`));
    for (const part of ['weight', 'bias']) {
      const name = `answer_head.logit_fc.3.${part}`;
      const source = await before.readFloat32(name);
      const width = source.length / before.entry(name).shape[0];
      expect(takeRows(source, width, rows)).toEqual(await after.readFloat32(name));
    }
  });
});

describe('convert --answers', () => {
  const from = join(weightFixtures, 'transformers-pretraining/safetensors');
  const old = ['yes', 'no', 'gray', '2', 'man', 'a', 'b', 'c', 'd', 'e', 'f'];
  const write = async (value: unknown) => {
    const path = join(await mkdtemp(join(folder, 'list-')), 'label2ans.json');
    await writeFile(path, JSON.stringify(value));
    return path;
  };
  const convert = async (options: Partial<ConvertOptions>, source = from) => {
    const to = join(await mkdtemp(join(folder, 'to-')), 'out');
    return { to, report: await convertWeights(source, to, { parametersOf: pretrainParameters, ...options }) };
  };

  test('copies the rows of known answers, sets the other rows to zero, and writes the new list', async () => {
    const ours = ['The man.', 'dog', 'Yes', 'two', 'GREY'];
    const { to, report } = await convert({ answers: await write(ours), answersFrom: await write(old) });
    expect(report.answers).toEqual({ carried: 4, of: 5, zero: ['dog'] });
    await using before = await SafetensorsFile.open(join(from, 'model.safetensors'));
    await using after = await SafetensorsFile.open(join(to, 'model.safetensors'));
    const [weight, carried] = await Promise.all(
      [before, after].map((file) => file.readFloat32('answer_head.logit_fc.3.weight')),
    );
    const rowOf = (values: Float32Array, row: number) => [...values.subarray(24 * row, 24 * (row + 1))];
    const expected = [4, undefined, 0, 3, 2];
    for (const [row, index] of expected.entries())
      expect(rowOf(carried, row)).toEqual(index === undefined ? new Array(24).fill(0) : rowOf(weight, index));
    expect(after.entry('answer_head.logit_fc.3.bias').shape).toEqual([5]);
    expect((await after.readFloat32('answer_head.logit_fc.3.bias'))[1]).toBe(0);
    for (const name of ['answer_head.logit_fc.0.weight', 'lxmert.pooler.dense.weight'])
      expect(await after.readFloat32(name)).toEqual(await before.readFloat32(name));
    expect(readJson(to, 'config.json')).toMatchObject({ num_qa_labels: 5 });
    expect(readJson(to, 'answers.json')).toEqual(ours);
    // The next conversion uses the list that was written.
    const next = await convert({ answers: await write(['grey', 'man']) }, to);
    expect(next.report.answers).toEqual({ carried: 2, of: 2, zero: [] });
  });

  test('uses the list in the folder of the weights, or a standard list, if its length is that of the head', async () => {
    const beside = await mkdtemp(join(folder, 'beside-'));
    await cp(from, beside, { recursive: true });
    await writeFile(join(beside, 'label2ans.json'), '{not JSON');
    await writeFile(join(beside, 'all_ans.json'), JSON.stringify(old.map((ans) => ({ ans, dsets: ['vqa'] }))));
    const answers = await write(['no']);
    expect((await convert({ answers }, beside)).report.answers).toMatchObject({ carried: 1 });
    expect((await convert({ answers, usualAnswers: await write(old) })).report.answers).toMatchObject({ carried: 1 });
    const short = { answers, usualAnswers: await write(['yes']) };
    await expect(convert(short)).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringMatching(/the answers of the 11 rows of its head are not known.*--answers-from/),
    });
  });

  test('refuses a list whose length is not that of the old head, and a head without answers', async () => {
    const answers = await write(['no']);
    await expect(convert({ answers, answersFrom: await write(['yes']) })).rejects.toThrow(
      /its answer head has 11 rows, but the list has 1 answers/,
    );
    const nlvr2 = join(weightFixtures, 'finetuned-nlvr2/BEST.pth');
    await expect(convert({ answers, answersFrom: answers }, nlvr2)).rejects.toThrow(/has no answer head/);
  });

  test.each<[unknown, readonly string[]]>([
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [
      [{ ans: 'a' }, { ans: 'b' }],
      ['a', 'b'],
    ],
    [{ b: 1, a: 0 }, ['a', 'b']],
    [{ '1': 'b', '0': 'a' }, ['a', 'b']],
  ])('the list may be %j', async (value, answers) => {
    expect(await readAnswerList(await write(value))).toEqual(answers);
  });

  test.each([[[]], [{}], ['text'], [[1]], [{ a: 1 }], [{ a: 0, b: 0 }], [null], [[null]]])(
    'a list that is %j is refused',
    async (value) => {
      await expect(readAnswerList(await write(value))).rejects.toMatchObject({
        code: 'BAD_DATA',
        message: expect.stringContaining('expected a list of answers'),
      });
    },
  );
});
