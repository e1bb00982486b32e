import { afterAll, expect, test } from '@jest/globals';
import { readJsonObject } from '../../src/formats/jsonObject.js';
import { readLines } from '../../src/formats/lines.js';
import { fileFolder } from '../finetune/support.js';

const { put, remove } = fileFolder();
afterAll(remove);

/** A text longer than the 4 MiB of one read, so that values cross the borders of reads. */
const long = 'red "circle", [x] {y}: \\ é '.repeat(40_000);

test('entries and elements that cross the border of two reads are complete', async () => {
  const value = {
    first: [1, [2, '}']],
    list: Array.from({ length: 12 }, (_, i) => ({ i, text: `${long}${i}` })),
    'a "key", with: marks': { deep: { list: [{}] } },
    empty: [],
    last: null,
  };
  for (const indent of [0, 2]) {
    const entries: [string, unknown][] = [];
    const list: unknown[] = [];
    await readJsonObject(put(JSON.stringify(value, null, indent)), 'an object', {
      onEntry: (key, entry) => entries.push([key, entry]),
      lists: {
        list: (element, index) => {
          expect(index).toBe(list.length);
          list.push(element);
        },
        empty: () => list.push('never'),
        last: () => list.push('never'),
      },
    });
    expect(list).toEqual(value.list);
    expect(entries).toEqual(Object.entries(value).filter(([key]) => key !== 'list' && key !== 'empty'));
  }
});

test('lines are complete, and have their line numbers', async () => {
  const lines = ['a', '', long.repeat(5), 'é\u2028b', 'last'];
  const got: [string, number][] = [];
  await readLines(put(lines.join('\n')), 'lines', (line, number) => got.push([line, number]));
  expect(got).toEqual(lines.map((line, i) => [line, i + 1]));
});
