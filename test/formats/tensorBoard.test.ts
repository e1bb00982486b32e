import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventFile } from '../../src/formats/tensorBoard.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lxmert-events-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** CRC-32C bit by bit, from its polynomial. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const masked = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** Returns the messages of a TFRecord file, and checks their checksums. */
function messages(file: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    expect(file.readUInt32LE(at + 8)).toBe(masked(file.subarray(at, at + 8)));
    const message = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 12 + length)).toBe(masked(message));
    found.push(message);
    at += 16 + length;
  }
  return found;
}

test('the checksum is the standard one', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
});

test('the file has the version, the start of the session, and one summary for each step', async () => {
  const events = await EventFile.create(folder, { step: 5 });
  await events.scalars(6, { 'loss/qa': 0.5, lr: undefined, rate: 2, none: 0 });
  await events.close();
  const [name] = await readdir(folder);
  expect(name).toMatch(/^events\.out\.tfevents\.\d+\./);
  const [version, session, summary, ...rest] = messages(await readFile(join(folder, name)));
  expect(rest).toEqual([]);
  // Field 1 is the wall time (9 bytes); field 3 is a string of 13 bytes.
  expect(version.subarray(9)).toEqual(Buffer.from('\x1a\x0dbrain.Event:2', 'latin1'));
  expect(Math.abs(version.readDoubleLE(1) - Date.now() / 1000)).toBeLessThan(600);
  // Field 2, step 5; field 7, { status: 1 }.
  expect(session.subarray(9)).toEqual(Buffer.from([0x10, 5, 0x3a, 2, 0x08, 1]));
  const value = (tag: string, x: number): Buffer => {
    const float = Buffer.alloc(4);
    float.writeFloatLE(x);
    const inner = Buffer.concat([Buffer.from([0x0a, tag.length]), Buffer.from(tag), Buffer.from([0x15]), float]);
    return Buffer.concat([Buffer.from([0x0a, inner.length]), inner]);
  };
  const body = Buffer.concat([value('loss/qa', 0.5), value('rate', 2), value('none', 0)]);
  expect(summary.subarray(9)).toEqual(Buffer.concat([Buffer.from([0x10, 6, 0x2a, body.length]), body]));
});

test('the error for a missing folder names the folder', async () => {
  await expect(EventFile.create(join(folder, 'none'))).rejects.toMatchObject({
    message: expect.stringContaining(join(folder, 'none')),
  });
});
