import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { AnswerTable, readAnswerTable } from '../../../src/data/samples/answers.js';
import { normalizeAnswer } from '../../../src/text/normalizeAnswer.js';
import { TestFolders } from '../support/samples.js';

const folders = new TestFolders();
afterAll(() => folders.remove());

async function table(content: string): Promise<string> {
  return join(await folders.make({ 'all_ans.json': content }), 'all_ans.json');
}

describe('normalizeAnswer', () => {
  test.each([
    ['Yes', 'yes'],
    ['Yes.', 'yes'],
    ['yes ..', 'yes .'],
    ['a man', 'man'],
    ['The Woman.', 'woman'],
    ['an apple', 'apple'],
    ['the a man', 'man'],
    ['a an the dog', 'dog'],
    ['the an owl', 'an owl'],
    ['another', 'another'],
    ['Ten', '10'],
    ['a one', '1'],
    ['grey', 'gray'],
    ['dark grey', 'dark grey'],
    ['.', ''],
    ['', ''],
    ['constructor', 'constructor'],
  ])('%j becomes %j', (answer, normal) => expect(normalizeAnswer(answer)).toBe(normal));
});

describe('AnswerTable', () => {
  test('finds answers in any spelling with the same normal form', () => {
    const answers = new AnswerTable(['yes', 'gray', '2']);
    expect(answers.size).toBe(3);
    expect(['Yes.', 'grey', 'two', 'a 2', 'no', '__proto__'].map((a) => answers.idOf(a))).toEqual([0, 1, 2, 2, -1, -1]);
  });

  test('refuses an answer that occurs twice', () => {
    expect(() => new AnswerTable(['yes', 'no', 'yes'])).toThrow('"yes" is both number 0 and number 2');
  });
});

describe('readAnswerTable', () => {
  const content = JSON.stringify([
    { ans: 'yes', dsets: ['vqa', 'gqa'] },
    { ans: 'zebra', dsets: ['visual7w'] },
    { ans: '2', dsets: ['gqa'] },
  ]);

  test('keeps the order of the file', async () => {
    expect((await readAnswerTable(await table(content))).answers).toEqual(['yes', 'zebra', '2']);
  });

  test('must have at least one answer', async () => {
    await expect(readAnswerTable(await table('[]'))).rejects.toThrow('no answers in it');
  });

  test.each([
    ['nonsense', 'is not JSON'],
    ['{}', 'the file must be a list of answers: {"ans": "yes"} or "yes", found an object with 0 keys'],
    ['[]', 'no answers in it'],
    ['["yes", 3]', '[1] must be {"ans": "yes"} or "yes", found 3'],
    ['[{"ans":"yes","dsets":[]},{"ans":3,"dsets":[]}]', '[1].ans must be a string that is not empty, found 3'],
    ['[{"ans":"","dsets":[]}]', '[0].ans must be a string that is not empty'],
    ['[{"dsets":[]}]', '[0].ans must be a string that is not empty, found nothing'],
    ['[{"ans":"yes","dsets":[]},{"ans":"yes","dsets":[]}]', '[1].ans is "yes", as [0].ans already was'],
  ])('%s is refused', async (text, message) => {
    const file = await table(text);
    await expect(readAnswerTable(file)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining(`${file}: ${message}`),
    });
  });

  test('a missing file is refused', async () => {
    const file = join(await folders.make(), 'all_ans.json');
    await expect(readAnswerTable(file)).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });
});
