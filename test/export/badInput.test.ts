import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { exportOnnx } from '../../src/export/index.js';
import type { ExportOnnxOptions } from '../../src/export/index.js';
import { SafetensorsFile, writeSafetensors } from '../../src/formats/safetensors.js';
import { command, fixture, refused } from '../finetune/support.js';
import { modelOf } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const table = { export: () => import('../../src/cli/export.js') };

let models: string;
let folder: string;
beforeAll(() => {
  models = mkdtempSync(join(tmpdir(), 'lxmert-export-models-'));
});
beforeEach(() => {
  folder = mkdtempSync(join(models, 'out-'));
});
afterAll(() => rmSync(models, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const write = (name: string, options: Partial<ExportOnnxOptions> = {}) =>
  exportOnnx(modelOf(name, models), { out: at('model.onnx'), ...options });
/** Files of the output folder, also those with temporary names. */
const files = (): string[] => readdirSync(folder).sort();

/** Writes a copy of a fixture's weights: some tensors are left out, and one number is changed. */
async function changed(
  name: string,
  keep: (tensor: string) => boolean,
  first?: readonly [string, number],
): Promise<string> {
  const to = at('changed');
  mkdirSync(to);
  writeFileSync(join(to, 'config.json'), readFileSync(join(fixture(name), 'config.json')));
  await using file = await SafetensorsFile.open(join(fixture(name), 'model.safetensors'));
  const specs = [...file.entries.values()].filter((entry) => keep(entry.name));
  await writeSafetensors(join(to, 'model.safetensors'), specs, async (tensor) => {
    const values = await file.readFloat32(tensor);
    if (tensor === first?.[0]) values[0] = first[1];
    return values;
  });
  return to;
}

test.each([
  ['finetune-nlvr2', 'vqa', 'answers questions about two pictures'],
  ['finetune-vqa', 'nlvr2', 'answers questions about one picture'],
  ['finetune-vqa', 'pretrain', 'no head of pre-training'],
  ['tiny', 'nlvr2', 'masked words, matching, object classes, object attributes, object features'],
] as const)('%s has no heads for the task %s: the message names its heads', async (name, task, words) => {
  await refused(
    write(name, { task }),
    'UNSUPPORTED',
    `--task ${task}`,
    words,
    'The heads of the model: ',
    'answers about',
  );
  expect(files()).toEqual([]);
});

test('an encoder without heads is exported as hidden states, and has no answers', async () => {
  const encoder = await changed('finetune-vqa', (name) => !name.startsWith('answer_head.'));
  const refusal = exportOnnx(encoder, { out: at('model.onnx'), task: 'vqa' });
  await refused(refusal, 'UNSUPPORTED', 'no answer head', 'no heads', '--task encoder');
  expect(await exportOnnx(encoder, { out: at('model.onnx') })).toMatchObject({ task: 'encoder' });
});

test('a missing tensor, a cut file, a missing model and a number too large for float16 are refused', async () => {
  const out = at('model.onnx');
  const cut = await changed('finetune-vqa', (name) => name !== 'lxmert.pooler.dense.bias');
  await refused(exportOnnx(cut, { out }), 'BAD_CHECKPOINT', cut, 'lxmert.pooler.dense.bias', '[64]', 'missing');
  truncateSync(join(cut, 'model.safetensors'), 100_000);
  await refused(exportOnnx(cut, { out }), 'BAD_CHECKPOINT', join(cut, 'model.safetensors'));
  await refused(exportOnnx(at('gone'), { out }), 'FILE_MISSING', at('gone'));
  rmSync(cut, { recursive: true });
  const name = 'lxmert.encoder.layer.1.output.dense.weight';
  const large = await changed('finetune-vqa', () => true, [name, 1e6]);
  await refused(
    exportOnnx(large, { out, precision: 'float16' }),
    'BAD_ARGUMENT',
    name,
    '1000000',
    '--precision float32',
  );
  expect(files()).toEqual(['changed']);
  await exportOnnx(large, { out });
});

test('weights that are cut while they are written leave nothing behind', async () => {
  const model = await changed('finetune-vqa', () => true);
  const onProgress = (): void => truncateSync(join(model, 'model.safetensors'), 1000);
  await refused(exportOnnx(model, { out: at('model.onnx'), onProgress }), 'BAD_DATA', 'model.safetensors', 'cut short');
  expect(files()).toEqual(['changed']);
});

test('existing files are refused, and replaced with overwrite', async () => {
  writeFileSync(at('model.onnx'), 'mine');
  await refused(write('tiny'), 'BAD_ARGUMENT', at('model.onnx'), 'exists already', '--overwrite');
  expect(readFileSync(at('model.onnx'), 'utf8')).toBe('mine');
  await write('tiny', { overwrite: true, externalData: true });
  expect(files()).toEqual(['model.onnx', 'model.onnx.data']);
  rmSync(at('model.onnx'));
  await refused(write('tiny'), 'BAD_ARGUMENT', at('model.onnx.data'), 'exists already');
  const { bytes } = await write('tiny', { overwrite: true });
  expect(files()).toEqual(['model.onnx']);
  expect(readFileSync(at('model.onnx'))).toHaveLength(bytes);
});

test('the folder of the output is made, and a path that cannot be written is refused', async () => {
  await write('tiny', { out: at('a/b/model.onnx') });
  writeFileSync(at('file'), '');
  await refused(write('tiny', { out: at('file/model.onnx') }), 'FILE_ACCESS', at('file/model.onnx'));
  await refused(write('tiny', { out: folder }), 'BAD_ARGUMENT', folder, 'exists already');
  await refused(write('tiny', { out: at('a'), overwrite: true }), 'FILE_ACCESS', at('a'));
  await refused(write('tiny', { out: '/proc/none/model.onnx' }), 'FILE_MISSING', '/proc/none');
  expect(files()).toEqual(['a', 'file']);
});

test.each([false, true])(
  'after a signal the unfinished files are removed (external data: %s)',
  async (externalData) => {
    await write('tiny');
    const before = readFileSync(at('model.onnx'));
    const controller = new AbortController();
    const stopped = write('tiny', {
      ...{ overwrite: true, externalData, signal: controller.signal },
      onProgress: (done, all) => {
        if (done > all / 2) controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    expect(files()).toEqual(['model.onnx']);
    expect(readFileSync(at('model.onnx'))).toEqual(before);
  },
);

test.each([false, true])(
  'a killed export leaves no model, and the next one cleans up (external data: %s)',
  async (externalData) => {
    const model = modelOf('tiny', models);
    const program = `
    import { exportOnnx } from ${JSON.stringify(join(root, 'dist/export/index.js'))};
    const onProgress = (done, all) => done > all / 2 && process.kill(process.pid, 'SIGKILL');
    await exportOnnx(${JSON.stringify(model)}, { out: ${JSON.stringify(at('model.onnx'))}, externalData: ${externalData}, onProgress });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
    const left = files();
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/^\.tmp-model\.onnx/);
    await write('tiny', { externalData });
    expect(files()).toEqual(externalData ? ['model.onnx', 'model.onnx.data'] : ['model.onnx']);
  },
);

test('the command prints inputs and outputs, and one object with --json', async () => {
  const args = ['export', 'onnx', modelOf('finetune-nlvr2', models), '--out', at('model.onnx')];
  const { code, out } = await command(table, ...args);
  expect(code).toBe(0);
  expect(out).toMatch(/task nlvr2, [\d,]+ parameters in float32, opset 17/);
  expect(out).toContain('  visual_feats            float32  [batch, 2, objects, 32]\n');
  expect(out).toContain('outputs\n  logits                  float32  [batch, 2]\n');
  const again = await command(table, ...args);
  expect(again).toMatchObject({ code: 2, err: expect.stringContaining('exists already') as unknown });
  const { out: json } = await command(table, ...args, '--overwrite', '--json', '--precision', 'float16');
  expect(JSON.parse(json)).toMatchObject({ out: at('model.onnx'), task: 'nlvr2', precision: 'float16', opset: 17 });
  const wrong = await command(table, ...args, '--task', 'chess');
  expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('encoder') as unknown });
});
