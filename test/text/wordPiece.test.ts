import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bertBaseUncased } from '../../src/text/vocabulary.js';
import { WordPiece } from '../../src/text/wordPiece.js';

/** Ids that transformers' BertTokenizer (bert-base-uncased) gives. */
const reference: readonly [sentence: string, ids: readonly number[]][] = [
  ['A man riding a surfboard.', [101, 1037, 2158, 5559, 1037, 14175, 6277, 1012, 102]],
  ["Is the woman's umbrella OPEN or closed?", [101, 2003, 1996, 2450, 1005, 1055, 12977, 2330, 2030, 2701, 1029, 102]],
  [
    'Caf\u00e9 cr\u00e8me, na\u00efve \u00c5ngstr\u00f6m & jalape\u00f1o!',
    [101, 7668, 13675, 21382, 1010, 15743, 17076, 15687, 1004, 14855, 2721, 11837, 2080, 999, 102],
  ],
  [
    'two-toned (black/white) snow-boarders... #1',
    [101, 2048, 1011, 27604, 1006, 2304, 1013, 2317, 1007, 4586, 1011, 2604, 2545, 1012, 1012, 1012, 1001, 1015, 102],
  ],
  ['\u4f60\u597d world \u6771\u4eac', [101, 100, 100, 2088, 1879, 1755, 102]],
  ['\uff46\uff55\uff4c\uff4c\uff0d\uff57\uff49\uff44\uff54\uff48', [101, 100, 1990, 100, 102]],
  ['  tabs\tand\nlines  ', [101, 21628, 2015, 1998, 3210, 102]],
  ['zero\u200bwidth \u00adsoft', [101, 5717, 9148, 11927, 2232, 3730, 102]],
  ['an [MASK] in [mask] text [SEP]', [101, 2019, 103, 1999, 1031, 7308, 1033, 3793, 102, 102]],
  [`${'x'.repeat(101)} y`, [101, 100, 1061, 102]],
  ['antidisestablishmentarianism', [101, 3424, 10521, 4355, 7875, 13602, 3672, 12199, 2964, 102]],
  ['12:30pm $5.00 50%', [101, 2260, 1024, 2382, 9737, 1002, 1019, 1012, 4002, 2753, 1003, 102]],
  ['\ud83d\ude00 smile', [101, 100, 2868, 102]],
  ['\ud840\udc00\ud87e\udc00 ok', [101, 100, 100, 7929, 102]],
  ['\u0130stanbul STRA\u1e9eE', [101, 9960, 2358, 27807, 102]],
  ['don\u0027t won\u2019t \u201cquoted\u201d', [101, 2123, 1005, 1056, 2180, 1521, 1056, 1523, 9339, 1524, 102]],
  ['', [101, 102]],
  ['\ufffd\u0000\u0007 bell', [101, 4330, 102]],
  ['a\u3000b\u00a0c', [101, 1037, 1038, 1039, 102]],
  ['e\u0301te\u0301', [101, 3802, 2063, 102]],
];

let wordPiece: WordPiece;
let dir: string;

beforeAll(async () => {
  wordPiece = await WordPiece.load();
  dir = await mkdtemp(join(tmpdir(), 'lxmert-text-'));
});

afterAll(() => rm(dir, { recursive: true }));

async function vocabFile(lines: string | Uint8Array): Promise<string> {
  const file = join(dir, `vocab-${createHash('sha1').update(lines).digest('hex')}.txt`);
  await writeFile(file, lines);
  return file;
}

describe('the vocabulary of bert-base-uncased', () => {
  test('is the published vocab.txt', async () => {
    const text = (await bertBaseUncased()).map((piece) => `${piece}\n`).join('');
    expect(createHash('sha256').update(text).digest('hex')).toBe(
      '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3',
    );
  });

  test('has the special token ids of BERT', () => {
    const { vocabSize, padId, unkId, clsId, sepId, maskId } = wordPiece;
    expect({ vocabSize, padId, unkId, clsId, sepId, maskId }).toEqual({
      vocabSize: 30522,
      padId: 0,
      unkId: 100,
      clsId: 101,
      sepId: 102,
      maskId: 103,
    });
    expect(wordPiece.token(103)).toBe('[MASK]');
    expect(wordPiece.token(14175)).toBe('surf');
    expect(() => wordPiece.token(30522)).toThrow('token id 30522 is not in 0 … 30521');
  });
});

describe('encode', () => {
  test.each(reference)('%j', (sentence, ids) => {
    expect([...wordPiece.encode(sentence, 1000)]).toEqual(ids);
  });

  test('gives the same ids from the cache', () => {
    for (const [sentence, ids] of reference) expect([...wordPiece.encode(sentence, 1000)]).toEqual(ids);
  });

  test('cuts to maxTokens, [SEP] included', () => {
    const whole = [...wordPiece.encode('one two three four five six seven', 20)];
    expect(whole).toHaveLength(9);
    for (let most = 2; most < 9; most++) {
      expect([...wordPiece.encode('one two three four five six seven', most)]).toEqual([
        ...whole.slice(0, most - 1),
        102,
      ]);
    }
    expect(() => wordPiece.encode('one', 1)).toThrow('maxTokens must be an integer from 2, found 1');
    expect(() => wordPiece.encode('one', 2.5)).toThrow('found 2.5');
  });

  test('any text gives [CLS] … [SEP], with all ids in the vocabulary', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.integer({ min: 2, max: 30 }), (text, most) => {
        const ids = wordPiece.encode(text, most);
        expect(ids.length).toBeGreaterThanOrEqual(2);
        expect(ids.length).toBeLessThanOrEqual(most);
        expect(ids[0]).toBe(101);
        expect(ids.at(-1)).toBe(102);
        expect(ids.every((id) => id >= 0 && id < 30522)).toBe(true);
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});

describe('the final sigma', () => {
  // Lower case as Python's str.lower, which the original's tokenizer calls; transformers' fast tokenizer gives σ everywhere.
  test.each([
    ['ΑΣ', 'α ##ς'],
    ['ΣΑΣ ΑΣ.', 'σ ##α ##ς α ##ς .'],
    ['ΑΣΑ', 'α ##σ ##α'],
    ['Σ', 'σ'],
    ["ΑΣ'Α", "α ##σ ' α"],
    ['ΑΣ-Α', 'α ##ς - α'],
    ['ΆΣ', 'α ##ς'],
    ['1Σ', '1 ##σ'],
  ])('%s', (text, pieces) => {
    expect(
      [...wordPiece.encode(text, 20)]
        .slice(1, -1)
        .map((id) => wordPiece.token(id))
        .join(' '),
    ).toBe(pieces);
  });
});

describe('a vocab.txt of the user', () => {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const letters = Array.from('abcdefghijklmnopqrstuvwxyz');

  test('is read, with or without carriage returns', async () => {
    for (const end of ['\n', '\r\n']) {
      const own = await WordPiece.load({
        vocabFile: await vocabFile([...special, 'red', '##dish', 'dog', ...letters].join(end)),
      });
      expect(own.vocabSize).toBe(34);
      expect([...own.encode('Reddish DOG cat', 20)]).toEqual([2, 5, 6, 7, 1, 3]);
    }
  });

  test.each([
    ['no such file', undefined, 'FILE_MISSING', 'no such file'],
    ['a missing special token', '[PAD]\n[UNK]\n[CLS]\nred\n', 'BAD_DATA', '[SEP], [MASK] missing among its 4 lines'],
    ['a line twice', [...special, 'red', 'dog', 'red'].join('\n'), 'BAD_DATA', 'line 8 repeats line 6: "red"'],
    ['an empty line', [...special, '', 'dog'].join('\n'), 'BAD_DATA', 'line 6 is empty'],
    ['a file cut off before the letters', [...special, '!', '"'].join('\n'), 'BAD_DATA', 'the letters a b c d'],
    ['a letter missing', [...special, ...letters.filter((l) => l !== 'q')].join('\n'), 'BAD_DATA', 'the letters q are'],
    ['UTF-16', Buffer.from(`\uFEFF${special.join('\n')}`, 'utf16le'), 'BAD_DATA', 'is UTF-16 text'],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0',
      'BAD_DATA',
      'is a Git LFS pointer',
    ],
    ['not UTF-8', Uint8Array.of(0x5b, 0xff, 0xfe, 0x0a), 'BAD_DATA', 'not UTF-8'],
    ['an empty file', '', 'BAD_DATA', 'missing among its 0 lines'],
  ])('%s is refused', async (_, lines, code, message) => {
    const file = lines === undefined ? join(dir, 'none.txt') : await vocabFile(lines);
    await expect(WordPiece.load({ vocabFile: file })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    await expect(WordPiece.load({ vocabFile: file })).rejects.toThrow(file);
  });

  test('may begin with a byte order mark, which does not become a part of the first WordPiece', async () => {
    const text = `\uFEFF${[...special, ...letters].join('\n')}\n`;
    const own = await WordPiece.load({ vocabFile: await vocabFile(text) });
    expect([own.padId, own.token(0), own.vocabSize]).toEqual([0, '[PAD]', 31]);
  });

  test('a folder is refused', async () => {
    await expect(WordPiece.load({ vocabFile: dir })).rejects.toMatchObject({ code: 'FILE_ACCESS' });
  });
});
