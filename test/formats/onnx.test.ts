import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { encodeOnnx, encodeOnnxMetadata, readOnnxMetadata } from '../../src/formats/onnx.js';

let folder: string;
let serial = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-onnx-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(...parts: readonly Uint8Array[]): string {
  const path = join(folder, `${serial++}.onnx`);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

const graph = encodeOnnx({
  name: 'g',
  nodes: [{ op: 'Add', name: 'a', inputs: ['x', 'w'], outputs: ['y'], attributes: {} }],
  weights: [{ name: 'w', dims: [3], values: Float32Array.of(1, 2, 3) }],
  inputs: [{ name: 'x', type: 'float32', dims: ['n', 3] }],
  outputs: [{ name: 'y', type: 'float32', dims: ['n', 3] }],
});

test.each([
  ['before the graph', (metadata: Uint8Array) => [metadata, graph]],
  ['after it', (metadata: Uint8Array) => [graph, metadata]],
])('metadata are read %s', async (_, parts) => {
  const metadata = { recipe: '{"a": 1}', other: 'ü' };
  expect(await readOnnxMetadata(fileOf(...parts(encodeOnnxMetadata(metadata))))).toEqual(metadata);
});

test('the metadata of a graph without metadata are empty', async () => {
  expect(await readOnnxMetadata(fileOf(graph))).toEqual({});
});

test.each([
  ['text', Buffer.from('no protobuf at all, but a text')],
  ['a graph that is cut', graph.subarray(0, graph.length - 9)],
  ['zeros', Buffer.alloc(100)],
])('%s is refused, and the message names the file', async (_, bytes) => {
  const path = fileOf(bytes);
  await expect(readOnnxMetadata(path)).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringContaining(`${path}: it is no ONNX file, or it is damaged`) as unknown,
  });
});
