/** Data without labels, and data that a later validation could not use, must be refused when they are opened. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPretrainRun } from '../../src/pretrain/index.js';
import { pretrain } from '../../src/pretrain/pretrain.js';
import type { PretrainParts } from '../../src/pretrain/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { fakeParts } from '../train/support/fakeParts.js';

interface Entry {
  img_id: string;
  sentf: Record<string, string[]>;
  labelf: Record<string, Record<string, number>[]>;
}

let parent: string;
let scenes: string;
let serial = 0;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'unlabelled-'));
  scenes = join(parent, 'scenes');
  await writeScenes({ out: scenes, images: 12, featureDim: 16, pictures: 0 });
});
afterAll(() => rm(parent, { recursive: true, force: true }));

async function dataWith(change: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(parent, `data-${serial++}`);
  await cp(scenes, folder, { recursive: true });
  await change(folder);
  return folder;
}

async function changeText(folder: string, split: string, change: (entry: Entry) => Entry): Promise<void> {
  const path = join(folder, `${split}.json`);
  const entries = JSON.parse(await readFile(path, 'utf8')) as Entry[];
  await writeFile(path, JSON.stringify(entries.map(change)));
}

/** Sets a column of confidences to 0 in all images. */
async function zero(folder: string, column: number): Promise<void> {
  for (const split of ['train', 'valid']) {
    const path = join(folder, `${split}.tsv`);
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    const changed = lines.map((line) => {
      const fields = line.split('\t');
      fields[column] = fields[column].replace(/[^=]/g, 'A');
      return fields.join('\t');
    });
    await writeFile(path, `${changed.join('\n')}\n`);
  }
}

/** Opens the data like a run, and makes one step with a fake model. @returns the notes of the run */
async function open(data: string, flags: Readonly<Record<string, string>>) {
  const notes: string[] = [];
  const fake = fakeParts();
  const parts: PretrainParts = { openData: openPretrainRun, openModel: (config) => fake.openModel(config) };
  const all = {
    data,
    out: join(parent, `run-${serial++}`),
    'max-steps': '1',
    'batch-size': '4',
    workers: '0',
    ...flags,
  };
  await pretrain({ sources: { flags: all, preset: 'tiny' }, observer: { note: (text) => notes.push(text) } }, parts);
  return notes;
}

const noQuestions = (folder: string) =>
  writeFile(join(folder, 'all_ans.json'), JSON.stringify([{ ans: 'elephant', dsets: ['vqa'] }]));
const noLabels = async (folder: string) => {
  await changeText(folder, 'train', (entry) => ({ ...entry, labelf: {} }));
};
const noWords = (folder: string) =>
  changeText(folder, 'train', (entry) => ({
    ...entry,
    sentf: Object.fromEntries(Object.entries(entry.sentf).map(([name, list]) => [name, list.map(() => '')])),
  }));

describe('a task without a single label', () => {
  test.each<[string, (folder: string) => Promise<void>, string, Record<string, string>, RegExp]>([
    ['answers outside of the table', noQuestions, 'qa', {}, /no question of the training data has an answer/],
    ['no labels', noLabels, 'qa', {}, /no question of the training data has an answer/],
    ['a word mask rate of 0', async () => undefined, 'maskedLm', { 'word-mask-rate': '0' }, /data\.wordMaskRate is 0/],
    ['empty sentences', noWords, 'maskedLm', {}, /no sentence of the training data has a word/],
    [
      'an object mask rate of 0',
      async () => undefined,
      'objects',
      { 'object-mask-rate': '0', 'visual-losses': 'feat' },
      /data\.objectMaskRate is 0/,
    ],
    [
      'classes without confidence',
      (folder) => zero(folder, 4),
      'objects',
      { 'visual-losses': 'obj' },
      /confidences of all object classes are 0/,
    ],
    [
      'attributes without confidence',
      (folder) => zero(folder, 6),
      'objects',
      { 'visual-losses': 'attr' },
      /confidences of all attributes are 0/,
    ],
  ])(
    'is refused as the only task, and reported once if there are others: %s',
    async (_, change, task, flags, reason) => {
      const data = await dataWith(change);
      await expect(open(data, { ...flags, tasks: task, valid: 'none' })).rejects.toMatchObject({
        code: 'BAD_DATA',
        message: expect.stringMatching(new RegExp(`^there is nothing to learn in epoch 0 .*${reason.source}`)),
      });
      const { 'visual-losses': visual, ...rest } = flags;
      const mix = { ...rest, tasks: `matched,${task}`, valid: 'none', ...(visual && { 'visual-losses': visual }) };
      const notes = await open(data, mix);
      expect(notes.filter((text) => reason.test(text))).toHaveLength(1);
      expect(notes.join('\n')).toMatch(/has nothing to learn from and stays 0/);
    },
  );

  test('is refused if it is the only task of a later epoch', async () => {
    const data = await dataWith(noQuestions);
    const flags = { tasks: 'matched,qa', 'matched-to-epoch': '1', 'max-steps': '10000', valid: 'none' };
    await expect(open(data, flags)).rejects.toThrow('there is nothing to learn in epoch 1');
  });

  test('good data cause no note', async () => {
    expect((await open(scenes, { valid: 'none' })).join('\n')).not.toMatch(/nothing to learn/);
  });
});

describe('matching with sentences of one image', () => {
  const oneImage = (split: string) => (folder: string) => {
    let first = true;
    return changeText(folder, split, (entry) => {
      const sentf = first ? entry.sentf : {};
      const labelf = first ? entry.labelf : {};
      first = false;
      return { ...entry, sentf, labelf };
    });
  };
  test.each(['train', 'valid'])('in the split %s is refused before the first step', async (split) => {
    const data = await dataWith(oneImage(split));
    await expect(open(data, {})).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(new RegExp(`^${split}: all \\d+ sentences belong to one image`)),
    });
    await open(data, { tasks: 'maskedLm,objects,qa' });
    await open(data, { 'swap-rate': '0' });
  });
});

test('samples that the device cannot compute are refused before the first step', async () => {
  const fake = fakeParts();
  const openModel: PretrainParts['openModel'] = async (config) =>
    Object.assign(await fake.openModel(config), { mostRows: 2 });
  const flags = { data: scenes, out: join(parent, `run-${serial++}`), 'max-steps': '1', valid: 'none', workers: '0' };
  const run = pretrain({ sources: { flags, preset: 'tiny' } }, { openData: openPretrainRun, openModel });
  await expect(run).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringMatching(/^sentence .* has \d+ tokens; this device computes at most 2 a sample/),
  });
});
