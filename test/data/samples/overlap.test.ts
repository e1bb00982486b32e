import { writeFileSync } from 'node:fs';
import { afterAll, expect, test } from '@jest/globals';
import { overlap } from '../../../src/data/samples/overlap.js';
import { temporaryFolder } from '../../imports/support.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());

test('pictures are compared by COCO number, by mapping and by id', async () => {
  const write = (name: string, value: unknown) => writeFileSync(folder.path(name), JSON.stringify(value));
  const sentences = (ids: readonly string[]) => ids.map((img_id) => ({ img_id, sentf: { own: ['a dog'] } }));
  write('train.json', sentences(['COCO_train2014_000000000009', '2345', '2346', 'mine', 'other']));
  write('valid.json', sentences(['COCO_val2014_000000000009', 'COCO_val2014_000000000077', 'mine']));
  write('image_data.json', [
    { image_id: 2345, coco_id: 77 },
    { image_id: 2346, coco_id: null },
  ]);
  const entry = (name: string) => `  ${name}: { features: f.tsv, sentences: ${name}.json }\n`;
  writeFileSync(folder.path('data.yaml'), `splits:\n${entry('train')}${entry('valid')}`);
  const both = { dir: folder.path(''), train: ['train'], valid: ['valid'] };
  const plain = await overlap(both);
  expect(plain).toMatchObject({ trainImages: 5, validImages: 3 });
  expect(plain.shared.map((one) => one.train)).toEqual(['COCO_train2014_000000000009', 'mine']);
  const mapped = await overlap({ ...both, mapping: folder.path('image_data.json') });
  expect(mapped.shared[1]).toEqual({ train: '2345', valid: 'COCO_val2014_000000000077' });
});
