import { afterAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chance, lastScore, shareTable } from '../../scripts/lib/comparison.mjs';

const folder = mkdtempSync(join(tmpdir(), 'comparison-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('chance always gives the most frequent answer of each kind of question', () => {
  const ask = (question_type: string, answer: string) => ({ question_type, label: { [answer]: 1 } });
  expect(chance([ask('color', 'red'), ask('color', 'red'), ask('color', 'blue'), ask('shape', 'star')])).toBe(0.75);
  expect(chance([{ label: 1 }, { label: 0 }, { label: 0 }, { label: 1 }])).toBe(0.5);
});

test('the last score of a run is found, also if lines without a score follow', () => {
  const lines = [{ step: 1 }, { step: 1, score: 0.25 }, { step: 2, score: 0.5 }, { step: 3 }];
  writeFileSync(join(folder, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  expect(lastScore(folder)).toBe(0.5);
});

test('the columns of a table are aligned', () => {
  const rows = [
    { name: 'a', shares: [0.5, 1] },
    { name: 'longer', shares: [0.25, 0.1234] },
  ];
  expect(shareTable(['by chance', 'mine'], rows).split('\n')).toEqual([
    '         by chance       mine',
    'a           50.0 %    100.0 %',
    'longer      25.0 %     12.3 %',
  ]);
});
