import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import tar from 'tar-stream';
import { fuzz } from '../../scripts/lib/fuzz.mjs';
import { escaped, shown } from '../../src/formats/shown.js';
import { listWeights, openWeights } from '../../src/weights/index.js';
import { digestOfSafetensors, digestOfWeights, fixtures, readJson, weightFixtures } from './support.js';

const hostile = join(fixtures, 'hostile');
const before = process.cwd();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'));
  // If code of a file runs, it creates a file PWNED in the current folder.
  process.chdir(folder);
});
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true, force: true });
});

interface HostileCase {
  readonly file: string;
  readonly must: 'refuse' | 'either' | 'load';
  readonly what: string;
}

const cases: readonly HostileCase[] = readJson(hostile, 'cases.json');

describe('damaged files, and files that would run code', () => {
  test.each(cases)('$file: $what', async ({ file, must }) => {
    const outcome = await listWeights(join(hostile, file)).then(
      ({ tensors }) => ({ tensors }),
      (error: unknown) => ({ error }),
    );
    if ('error' in outcome) {
      expect(outcome.error).toMatchObject({ name: 'LxmertError', code: 'BAD_DATA' });
      expect((outcome.error as Error).message).toContain(`${join(hostile, file)}: `);
    } else expect(outcome.tensors.length).toBeGreaterThan(0);
    if (must !== 'either') expect('tensors' in outcome).toBe(must === 'load');
    expect(existsSync('PWNED')).toBe(false);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test('there are 150 test files', () => expect(cases).toHaveLength(150));

  test.each(['honest.legacy.pth', 'honest.zip.pth', 'deflated.zip.pth'])('%s has the expected values', async (file) => {
    expect(await digestOfWeights(join(hostile, file))).toEqual(
      await digestOfSafetensors(join(hostile, 'honest-expected.safetensors')),
    );
  });

  test.each([
    ['unknown-class.zip.pth', "'argparse.Namespace'"],
    ['numpy-array.legacy.pth', "'numpy.core.multiarray._reconstruct'"],
    ['whole-model.zip.pth', "'tasks.vqa_model.VQAModel'"],
    ['unknown-dtype.safetensors', '"F8_E5M2"'],
    ['lfs-pointer.pth', 'Git LFS pointer'],
    ['page.pth', 'web page'],
    ['big-endian.zip.pth', "'big'"],
    ['flipped-bit.zip.pth', 'checksum'],
  ])('the error for %s names the fault: %s', async (file, text) => {
    await expect(openWeights(join(hostile, file)).then(listed(file))).rejects.toThrow(text);
  });
});

const listed = (file: string) => async (source: { close: () => Promise<void> }) => {
  await source.close();
  await listWeights(join(hostile, file));
};

describe('archives', () => {
  async function archive(entries: readonly [string, Buffer | { symlink: string }][], gzip = true): Promise<string> {
    const pack = tar.pack();
    for (const [name, content] of entries)
      if (Buffer.isBuffer(content)) pack.entry({ name }, content);
      else pack.entry({ name, type: 'symlink', linkname: content.symlink });
    pack.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of pack) chunks.push(chunk as Buffer);
    const path = join(await mkdtemp(join(folder, 'tar-')), 'weights.tar.gz');
    writeFileSync(path, gzip ? gzipSync(Buffer.concat(chunks)) : Buffer.concat(chunks));
    return path;
  }
  const refused = async (path: string) => {
    await expect(openWeights(path)).rejects.toMatchObject({ name: 'LxmertError' });
    expect(existsSync(join(tmpdir(), 'PWNED')) || existsSync('PWNED')).toBe(false);
  };

  test('that unpack to much more than their size are refused', async () => {
    const path = await archive([
      ['a.txt', Buffer.alloc(80 << 20)],
      ['pytorch_model.bin', Buffer.alloc(10)],
    ]);
    await expect(openWeights(path)).rejects.toThrow(/unpacks to more than \d+ bytes/);
  });

  test('are unpacked without writing outside the folder and without following links', async () => {
    await refused(await archive([['../../PWNED', Buffer.from('x')]]));
    await refused(await archive([['pytorch_model.bin', { symlink: '/etc/passwd' }]]));
    await refused(await archive([['../../../pytorch_model.bin', Buffer.from('x')]]));
  });

  test('with two files of the same name, or with a missing end, are refused', async () => {
    await expect(
      openWeights(
        await archive([
          ['a/pytorch_model.bin', Buffer.from('x')],
          ['b/pytorch_model.bin', Buffer.from('y')],
        ]),
      ),
    ).rejects.toThrow(/two files named pytorch_model\.bin/);
    const whole = await archive([['pytorch_model.bin', Buffer.alloc(5000, 1)]], false);
    const cut = join(folder, 'cut.tar');
    const { readFile } = await import('node:fs/promises');
    await writeFile(cut, (await readFile(whole)).subarray(0, 3000));
    await refused(cut);
  });
});

test('a safetensors file is recognised for any length of its header', async () => {
  // The bytes of these lengths look like the start of a pickle, a zip, a gzip, a web page and JSON.
  for (const length of [0x80, 0x4b50, 0x8b1f, 0x213c, 0x7b, 0x0280]) {
    const header = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.padEnd(length, ' ');
    const bytes = Buffer.alloc(8 + length + 1);
    bytes.writeBigUInt64LE(BigInt(length));
    bytes.write(header, 8);
    const path = join(folder, 'lengths');
    await writeFile(path, bytes);
    expect((await listWeights(path)).tensors).toHaveLength(1);
  }
});

test('a zip whose directory has an impossible offset is refused', async () => {
  const bytes = readFileSync(join(hostile, 'honest.zip.pth'));
  const end = bytes.lastIndexOf('PK\u0005\u0006');
  const record = Buffer.alloc(56);
  record.write('PK\u0006\u0006', 'latin1');
  record.writeBigUInt64LE(44n, 4);
  for (const [at, place] of [0n, 2n ** 53n, 2n ** 59n + 3n, 2n ** 64n - 1n].entries()) {
    record.writeBigUInt64LE(5n, 24);
    record.writeBigUInt64LE(5n, 32);
    record.writeBigUInt64LE(place, 48);
    const locator = Buffer.alloc(20);
    locator.write('PK\u0006\u0007', 'latin1');
    locator.writeBigUInt64LE(at % 2 === 0 ? BigInt(end) : place, 8);
    const last = Buffer.from(bytes.subarray(end));
    last.fill(0xff, 8, 20);
    const path = join(folder, `zip64-${at}.pth`);
    await writeFile(path, Buffer.concat([bytes.subarray(0, end), record, locator, last]));
    await expect(openWeights(path)).rejects.toMatchObject({ code: 'BAD_DATA' });
  }
});

test('names from a file cannot send control sequences to a terminal', () => {
  expect(shown('a\u001b[31mb\u202ec\n')).toBe("'a\\u001b[31mb\\u202ec\\u000a'");
  expect(shown('x'.repeat(1000))).toHaveLength(123);
  expect(escaped('lxmert.émbeddings')).toBe('lxmert.émbeddings');
});

test('files with random damage are read or refused; files with checksums are never read with wrong numbers', async () => {
  const files = [
    ...['honest.legacy.pth', 'honest.zip.pth', 'honest-expected.safetensors', 'deflated.zip.pth', 'itself.zip.pth'].map(
      (name) => join(hostile, name),
    ),
    ...['pretraining/protocol4_LXRT.pth', 'bert/bert-base-uncased.tar.gz'].map((name) => join(weightFixtures, name)),
  ];
  const result = await fuzz({
    files,
    work: folder,
    cases: 500,
    seed: 5,
    list: async (path) => (await listWeights(path)).tensors,
  });
  expect(result.failures).toEqual([]);
  expect(result.read + result.refused).toBe(500);
  expect(result.read).toBeGreaterThan(20);
  expect(existsSync('PWNED')).toBe(false);
}, 120_000);
