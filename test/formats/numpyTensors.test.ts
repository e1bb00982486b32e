import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readNumpyTensors } from '../../src/formats/numpyTensors.js';
import { openTensors, readFloat32 } from '../../src/weights/index.js';

const fixtures = fileURLToPath(new URL('../fixtures/detector/', import.meta.url));
const form = (name: string) => join(fixtures, 'pickle-forms', `${name}.pkl`);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-numpy-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each(['protocol2', 'protocol3', 'protocol4', 'protocol4-numpy2'])(
  'arrays of %s are those of the same weights in the file of torch.save',
  async (name) => {
    const torch = await openTensors(join(fixtures, 'frcnn'));
    const file = await openTensors(form(name));
    expect(file.tensors).toHaveLength(2);
    for (const tensor of file.tensors) {
      const same = torch.tensors.find(({ fileName }) => fileName === tensor.fileName)!;
      expect(tensor.shape).toEqual(same.shape);
      expect(await readFloat32(tensor, name)).toEqual(await readFloat32(same, name));
    }
    await torch.close();
  },
);

const put = (name: string, bytes: Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

test('a pickle that would run a function is refused, and the message names the function', async () => {
  const path = put('hostile.pkl', Buffer.from('\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.', 'latin1'));
  await expect(readNumpyTensors(path)).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringContaining("'posix.system'") as unknown,
  });
});

test('the error for a pickle that is cut at any place, or has no arrays, names the file', async () => {
  const bytes = readFileSync(form('protocol4'));
  for (let length = 3; length < bytes.length; length += 97) {
    const path = put('cut.pkl', bytes.subarray(0, length));
    await expect(readNumpyTensors(path)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringContaining(path) as unknown,
    });
  }
  await expect(readNumpyTensors(put('empty.pkl', Buffer.from('\x80\x02}.', 'latin1')))).rejects.toThrow(
    'holds no arrays',
  );
});
