import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { importDetector } from '../../src/pictures/import/importDetector.js';
import { readRecipe } from '../../src/pictures/recipe.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { openTensors, readFloat32 } from '../../src/weights/index.js';

const weights = fileURLToPath(new URL('../fixtures/detector/frcnn/', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-import-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const recipe = 'transformers' as const;

/** A copy of the detector's folder. */
function copy(name: string): string {
  const path = join(folder, name);
  cpSync(weights, path, { recursive: true });
  return path;
}

/** The detector with some tensors changed or left out, as safetensors. */
async function changed(
  name: string,
  change: (tensors: Map<string, { shape: number[]; values: Float32Array }>) => void,
) {
  const file = await openTensors(weights);
  const tensors = new Map<string, { shape: number[]; values: Float32Array }>();
  for (const tensor of file.tensors)
    tensors.set(tensor.fileName, { shape: [...tensor.shape], values: await readFloat32(tensor, weights) });
  await file.close();
  change(tensors);
  const path = join(folder, `${name}.safetensors`);
  await writeSafetensors(
    path,
    [...tensors].map(([tensor, { shape }]) => ({ name: tensor, dtype: 'F32' as const, shape })),
    (tensor) => Promise.resolve(tensors.get(tensor)!.values),
  );
  return path;
}

test('the recipe is in the file, and flags take the place of the configuration', async () => {
  const out = join(folder, 'flags.onnx');
  const made = await importDetector(weights, out, { recipe, minSize: 200, nms: [0.3, 0.6], postNms: 100 });
  expect(await readRecipe(out)).toEqual(made.recipe);
  expect(made.recipe).toMatchObject({
    ...{ recipe, minSize: 200, maxSize: 500, preNms: 6000, postNms: 100, nms: [0.3, 0.6] },
    ...{ objects: 20, attributes: 12, featureDim: 128, minDetections: 36, maxDetections: 36 },
  });
});

test('safetensors give the same graph as the file of torch.save, and without config.yaml the published values count', async () => {
  const out = join(folder, 'same.onnx');
  const file = await changed('same', () => undefined);
  const made = await importDetector(file, out, { recipe, config: join(weights, 'config.yaml') });
  expect(made.recipe.graph).toBe((await importDetector(weights, out, { recipe })).recipe.graph);
  const published = await importDetector(file, out, { recipe });
  expect(published.recipe).toMatchObject({ minSize: 800, maxSize: 1333, nms: [0.5, 0.6, 0.7] });
  expect(published.notes).toEqual([expect.stringContaining('has no config.yaml')]);
});

test.each([
  ['input:\n  min_size_test: none', 'config.yaml:2: input.min_size_test'],
  ['input:\n  format: RGB', 'config.yaml:2: input.format'],
  ['a: [', 'config.yaml:'],
  ['min_detections: 40', 'min_detections is 40, more than max_detections, 36'],
])('a configuration that says %j is refused', async (text, message) => {
  const from = copy(`config-${message.length}-${text.length}`);
  writeFileSync(join(from, 'config.yaml'), text);
  const out = join(from, 'out.onnx');
  await expect(importDetector(from, out, { recipe })).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringContaining(message) as unknown,
  });
  expect(existsSync(out)).toBe(false);
});

test.each([
  ['a missing tensor', 'backbone.res3.1.conv2.norm.running_mean', undefined, 'is missing'],
  ['a missing stage', 'backbone.res4.0.conv1.weight', undefined, 'is missing'],
  ['another shape', 'roi_heads.box_predictor.cls_score.bias', [20], 'has the shape [20]; expected [21]'],
  [
    'boxes of other classes',
    'roi_heads.box_predictor.bbox_pred.weight',
    [84, 128],
    'Are the weights of another recipe?',
  ],
])('%s is named', async (_, tensor, shape, message) => {
  const from = await changed(tensor, (tensors) => {
    if (shape === undefined) tensors.delete(tensor);
    else tensors.set(tensor, { shape, values: new Float32Array(shape.reduce((a, b) => a * b)) });
    if (message.startsWith('Are'))
      tensors.set(tensor.replace('weight', 'bias'), { shape: [84], values: new Float32Array(84) });
  });
  await expect(importDetector(from, join(folder, 'none.onnx'), { recipe })).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringContaining(message) as unknown,
  });
});

const detectorFile = fileURLToPath(new URL('../fixtures/detector/detector.caffemodel', import.meta.url));
const caffeBytes = readFileSync(detectorFile);
test.each([
  ['a .caffemodel by another recipe', 'a.caffemodel', 'd2', caffeBytes, 'a .caffemodel belongs to the recipe caffe'],
  [
    'a .caffemodel that is cut',
    'cut.caffemodel',
    'caffe',
    caffeBytes.subarray(0, 300_000),
    'it ends inside of a field',
  ],
  ['text as a .caffemodel', 'text.caffemodel', 'caffe', Buffer.from('no weights'), 'it is no .caffemodel'],
  ['an empty .caffemodel', 'empty.caffemodel', 'caffe', Buffer.alloc(0), 'it has no layers with weights'],
  [
    "torch's weights by the recipe caffe",
    'torch.bin',
    'caffe',
    readFileSync(join(weights, 'pytorch_model.bin')),
    'belong to the recipe transformers or d2',
  ],
] as const)('%s: the file is named, with the reason', async (_, name, by, bytes, message) => {
  const from = join(folder, name);
  writeFileSync(from, bytes);
  await expect(importDetector(from, join(folder, 'none.onnx'), { recipe: by })).rejects.toMatchObject({
    code: 'BAD_DATA',
    message: expect.stringMatching(new RegExp(`^${from}: .*${message}`)) as unknown,
  });
  expect(existsSync(join(folder, 'none.onnx'))).toBe(false);
});

test('a value that is not finite is named', async () => {
  const name = 'proposal_generator.rpn_head.conv.bias';
  const from = await changed('nan', (tensors) => void (tensors.get(name)!.values[3] = NaN));
  await expect(importDetector(from, join(folder, 'none.onnx'), { recipe })).rejects.toThrow(`'${name}' holds NaN at 3`);
});

test('a file that is no detector has no recipe', async () => {
  const path = join(folder, 'other.onnx');
  writeFileSync(path, readFileSync(join(weights, 'config.yaml')));
  await expect(readRecipe(path)).rejects.toMatchObject({ code: 'BAD_DATA' });
});
