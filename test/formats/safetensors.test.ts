import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dtypes } from '../../src/formats/dtypes.js';
import type { Dtype, TensorValues } from '../../src/formats/dtypes.js';
import { SafetensorsFile, SafetensorsWriter, writeSafetensors } from '../../src/formats/safetensors.js';
import { parseHeader } from '../../src/formats/safetensorsHeader.js';

/** Written by Python's safetensors 0.8: one tensor of each kind that PyTorch users meet. */
const fromPython =
  'wAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJpZHMiOnsiZHR5cGUiOiJJNjQiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNl' +
  'dHMiOlswLDE2XX0sIm5vbmUiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6WzAsM10sImRhdGFfb2Zmc2V0cyI6WzE2LDE2XX0sIndvcmRzIjp7ImR0' +
  'eXBlIjoiRjMyIiwic2hhcGUiOlsyLDJdLCJkYXRhX29mZnNldHMiOlsxNiwzMl19LCJzY2FsYXIiOnsiZHR5cGUiOiJJMzIiLCJzaGFwZSI6W10s' +
  'ImRhdGFfb2Zmc2V0cyI6WzMyLDM2XX0sImJyYWluIjp7ImR0eXBlIjoiQkYxNiIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzM2LDQwXX0s' +
  'ImhhbGYiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzNdLCJkYXRhX29mZnNldHMiOls0MCw0Nl19LCJmbGFnIjp7ImR0eXBlIjoiQk9PTCIsInNo' +
  'YXBlIjpbM10sImRhdGFfb2Zmc2V0cyI6WzQ2LDQ5XX19ICAg//////////8AAAAAAAEAAAAAwD8AABDAAAAAAOaxYX8HAAAAgD9AwAA8//sBAAEA' +
  'AQ==';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'safetensors-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let serial = 0;
const newPath = () => join(folder, `${serial++}.safetensors`);

const withLength = (json: string, data = new Uint8Array()) => {
  const text = Buffer.from(json);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  return Buffer.concat([length, text, data]);
};

async function openBytes(bytes: Uint8Array): Promise<SafetensorsFile> {
  const path = newPath();
  await writeFile(path, bytes);
  return SafetensorsFile.open(path);
}

describe('reading', () => {
  test('reads a file that the Python library wrote, with all dtypes', async () => {
    const file = await openBytes(Buffer.from(fromPython, 'base64'));
    expect(file.metadata).toEqual({ format: 'pt' });
    expect([...(await file.readFloat32('words'))]).toEqual([1.5, -2.25, 0, Math.fround(3e38)]);
    expect(file.entry('words').shape).toEqual([2, 2]);
    expect(await file.read('ids')).toEqual(new BigInt64Array([-1n, 2n ** 40n]));
    expect([...(await file.readFloat32('half'))]).toEqual([1, -65504, 2 ** -24]);
    expect([...(await file.readFloat32('brain'))]).toEqual([1, -3]);
    expect([...(await file.readInt32('flag'))]).toEqual([1, 0, 1]);
    expect([...(await file.readInt32('scalar'))]).toEqual([7]);
    expect(file.entry('scalar').shape).toEqual([]);
    expect(await file.read('none')).toHaveLength(0);
    await expect(file.readInt32('ids')).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(/'ids' holds 1099511627776 at 1/),
    });
    await expect(file.readInt32('words')).rejects.toMatchObject({ code: 'BAD_DATA' });
    await expect(file.read('absent')).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining("no tensor 'absent'"),
    });
    await file.close();
  });

  test('the message names a missing file, and says that a folder is not a file', async () => {
    await expect(SafetensorsFile.open(join(folder, 'gone'))).rejects.toMatchObject({
      code: 'FILE_MISSING',
      message: expect.stringContaining(join(folder, 'gone')),
    });
    await expect(SafetensorsFile.open(folder)).rejects.toMatchObject({ code: 'FILE_ACCESS' });
  });

  const tensor = (value: object) => JSON.stringify({ w: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...value } });
  const eight = new Uint8Array(8);
  test.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(), /has 0 bytes/],
    ['half a length', new Uint8Array(5), /has 5 bytes/],
    ['no header', new Uint8Array(8), /does not begin with '\{'/],
    ['a giant header', Buffer.alloc(64, 0xff), /claims a header of 18446744073709551615 bytes/],
    ['a cut header', Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 0x7b]), /cut short/],
    ['broken JSON', withLength('{"w":'), /not JSON/],
    ['an array', withLength('[]'), /does not begin/],
    ['bytes that are not UTF-8', withLength('{}').fill(0xff, 9), /not JSON/],
    ['an unknown dtype', withLength(tensor({ dtype: 'F8_E4M3' }), eight), /'w' has the dtype "F8_E4M3"; known are/],
    ['a dtype named like a method', withLength(tensor({ dtype: 'toString' }), eight), /has the dtype/],
    ['a negative size', withLength(tensor({ shape: [-2] }), eight), /'w' has the shape \[-2\]/],
    ['a fractional size', withLength(tensor({ shape: [2.5] }), eight), /has the shape/],
    ['a shape beyond integers', withLength(tensor({ shape: [2 ** 40, 2 ** 40] }), eight), /has the shape/],
    ['a shape that is a number', withLength(tensor({ shape: 2 }), eight), /has the shape/],
    ['another length than the shape', withLength(tensor({ shape: [3] }), eight), /has 8 bytes.*needs 12/],
    ['offsets in reverse', withLength(tensor({ data_offsets: [8, 0] }), eight), /has -8 bytes/],
    ['one offset', withLength(tensor({ data_offsets: [8] }), eight), /data_offsets \[8\]/],
    ['cut data', withLength(tensor({}), new Uint8Array(7)), /'w' ends at byte .* but the file has .*: .*cut short/],
    ['extra data', withLength(tensor({}), new Uint8Array(9)), /1 bytes after the last tensor/],
    ['a hole', withLength(tensor({ data_offsets: [4, 12] }), new Uint8Array(12)), /4 bytes before tensor 'w'/],
    ['a tensor that is null', withLength('{"w":null}'), /'w' is not described/],
    ['metadata of numbers', withLength('{"__metadata__":{"a":1}}'), /object of strings/],
    [
      'an overlap',
      withLength(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}}',
        eight,
      ),
      /'b' overlaps/,
    ],
  ])('refuses %s', async (_, bytes, message) => {
    await expect(openBytes(bytes)).rejects.toMatchObject({ code: 'BAD_DATA', message: expect.stringMatching(message) });
  });

  test('finds that a file was cut while it was open', async () => {
    const file = await openBytes(withLength(tensor({}), eight));
    await truncate(file.path, file.entry('w').offset + 3);
    await expect(file.read('w')).rejects.toMatchObject({ code: 'BAD_DATA', message: expect.stringContaining('cut') });
    await file.close();
  });

  test('a file with damaged bytes is refused with BAD_DATA, or is consistent', async () => {
    const whole = Buffer.from(fromPython, 'base64');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 0, max: whole.length }),
        async (edits, length) => {
          const bytes = Buffer.from(whole);
          for (const [at, value] of edits) bytes[at] = value;
          let file: SafetensorsFile;
          try {
            file = await openBytes(bytes.subarray(0, length));
          } catch (error) {
            expect(error).toMatchObject({ code: 'BAD_DATA' });
            return;
          }
          // The file was accepted: every byte after the header belongs to exactly one tensor, and every tensor can be read.
          let end = Math.min(...[...file.entries.values()].map(({ offset }) => offset));
          for (const entry of file.entries.values()) {
            expect(entry.offset).toBe(end);
            end += entry.byteLength;
            const product = entry.shape.reduce((a, b) => a * b, 1);
            expect(entry.byteLength).toBe(product * dtypes[entry.dtype].bytes);
            expect(await file.read(entry.name)).toHaveLength(product);
          }
          expect(end).toBe(length);
          await file.close();
        },
      ),
      { numRuns: 400 },
    );
  });

  test('a file with any JSON as its header is refused or consistent', () => {
    const entry = fc.record({
      dtype: fc.constantFrom('F32', 'U8', 'BOOL', 'X', 3, null),
      shape: fc.oneof(fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 3 }), fc.anything()),
      data_offsets: fc.oneof(fc.tuple(fc.nat(40), fc.nat(40)), fc.anything()),
    });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue())), fc.nat(40), (root, dataBytes) => {
        const json = Buffer.from(JSON.stringify(root, (_, value) => (typeof value === 'bigint' ? null : value)));
        try {
          const { entries } = parseHeader(json, 8 + json.length + dataBytes, 'f');
          expect(entries.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(dataBytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_DATA' });
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('writing', () => {
  const values = (dtype: Dtype, count: number): TensorValues => {
    const bytes = Uint8Array.from({ length: count * dtypes[dtype].bytes }, (_, i) => (i * 37 + 11) & 0xff);
    return new dtypes[dtype].array(bytes.buffer);
  };

  test('the written values are read again, and every tensor is aligned', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(
          fc.record({
            name: fc.string({ minLength: 1, unit: 'grapheme' }).filter((name) => name !== '__metadata__'),
            dtype: fc.constantFrom(...(Object.keys(dtypes) as Dtype[])),
            shape: fc.array(fc.nat(5), { maxLength: 3 }),
          }),
          { selector: ({ name }) => name, maxLength: 8 },
        ),
        async (specs) => {
          const path = newPath();
          const given = new Map(
            specs.map(({ name, dtype, shape }) => [
              name,
              values(
                dtype,
                shape.reduce((a, b) => a * b, 1),
              ),
            ]),
          );
          await writeSafetensors(path, specs, (name) => given.get(name)!, { metadata: { format: 'pt', note: 'ü' } });
          const file = await SafetensorsFile.open(path);
          expect(file.metadata).toEqual({ format: 'pt', note: 'ü' });
          expect([...file.entries.keys()].sort()).toEqual(specs.map(({ name }) => name).sort());
          for (const { name, dtype, shape } of specs) {
            const entry = file.entry(name);
            expect(entry).toMatchObject({ dtype, shape });
            expect(entry.offset % dtypes[dtype].bytes).toBe(0);
            expect(new Uint8Array((await file.read(name)).buffer)).toEqual(new Uint8Array(given.get(name)!.buffer));
          }
          await file.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  test('accepts the parts of a tensor in any order, and counts them', async () => {
    const path = newPath();
    const writer = await SafetensorsWriter.create(path, [{ name: 'rows', dtype: 'F32', shape: [3, 2] }]);
    await writer.write('rows', new Float32Array([5, 6]), 4);
    await writer.write('rows', new Float32Array([1, 2, 3, 4]).subarray(0, 4));
    await expect(writer.write('rows', new Float32Array(1))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await writer.finish();
    const file = await SafetensorsFile.open(path);
    expect([...(await file.readFloat32('rows'))]).toEqual([1, 2, 3, 4, 5, 6]);
    await file.close();
  });

  test('refuses a wrong array, an unknown name, a missing tensor, a name given twice', async () => {
    const spec = { name: 'w', dtype: 'F32', shape: [2] } as const;
    const writer = await SafetensorsWriter.create(newPath(), [spec]);
    await expect(writer.write('w', new Int32Array(2))).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
      message: expect.stringContaining('Float32Array'),
    });
    await expect(writer.write('v', new Float32Array(2))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(writer.write('w', new Float32Array(2), 1)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(writer.finish()).rejects.toMatchObject({
      message: expect.stringContaining("2 elements of tensor 'w'"),
    });
    await expect(SafetensorsWriter.create(newPath(), [spec, spec])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    const taken = newPath();
    await writeFile(taken, 'mine');
    await expect(SafetensorsWriter.create(taken, [spec])).rejects.toMatchObject({ code: 'FILE_ACCESS' });
    expect(await readFile(taken, 'utf8')).toBe('mine');
  });
});
