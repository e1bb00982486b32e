/**
 * Tests the CUDA device of an engine on the emulator: how it is chosen, copies, the bf16 copy of the parameters,
 * memory, errors.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { benchBatch } from '../../src/bench/batch.js';
import { Engine, type EngineOptions } from '../../src/engine/index.js';
import { loadAddon } from '../../src/engine/load.js';
import { plainSum } from '../../src/pretrain/losses.js';
import { Pretrainer } from '../../src/pretrain/pretrainer.js';
import { cpuMultipliesBFloat16 } from '../engine/support/backends.js';
import { roundToBf16 } from '../engine/support/bf16.js';
import { smallConfig } from '../support/batches.js';
import { emulator, withEmulator } from '../support/emulator.js';
import { build, cudaSources, run } from './support/programs.js';

const library = emulator ?? '';
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

function open(options: EngineOptions = {}): Engine {
  const engine = Engine.create({ device: 'cuda', cudaLibrary: library, ...options });
  engines.push(engine);
  return engine;
}

describe('the choice of a device', () => {
  const missing = '/nowhere/lxmert_cuda.so';

  test('cuda without its back end is an error that names the file', () => {
    expect(() => Engine.create({ device: 'cuda', cudaLibrary: missing })).toThrow(
      expect.objectContaining({ code: 'NO_DEVICE', message: expect.stringContaining(missing) }),
    );
  });

  test('a file that is not a library is an error, too', () => {
    expect(() => Engine.create({ device: 'cuda', cudaLibrary: '/proc/self/exe' })).toThrow(
      expect.objectContaining({ code: 'NO_DEVICE', message: expect.stringMatching(/does not load|no back end/) }),
    );
  });

  test('auto then uses the CPU, and the description says why', async () => {
    const engine = Engine.create({ device: 'auto', cudaLibrary: missing, threads: 1 });
    engines.push(engine);
    expect(engine.device).toBe('cpu');
    expect(engine.description).toMatch(/^cpu; no CUDA: .*lxmert_cuda\.so/);
  });

  test('bfloat16 on the CPU keeps activations in float32', () => {
    if (!cpuMultipliesBFloat16) {
      expect(() => open({ device: 'cpu', precision: 'bfloat16' })).toThrow(/no instructions that multiply bfloat16/);
      return;
    }
    const engine = open({ device: 'cpu', precision: 'bfloat16', threads: 1 });
    expect(engine.activationDType).toBe('f32');
  });

  test('an unknown precision is refused, also by the addon', () => {
    expect(() => Engine.create({ precision: 'float16' as 'float32' })).toThrow(
      expect.objectContaining({ code: 'BAD_ARGUMENT' }),
    );
    expect(() => loadAddon().createEngine(1, 'float16')).toThrow(/float16, expected float32 or bfloat16/);
  });
});

withEmulator(describe)('on the emulator', () => {
  test('auto uses CUDA if it works', () => {
    const engine = open({ device: 'auto' });
    expect(engine.device).toBe('cuda');
    expect(engine.description).toContain('emulated');
  });

  test.each(['float32', 'bfloat16'] as const)(
    '%s: what is uploaded is read back, in order with the ops',
    async (precision) => {
      const engine = open({ precision });
      engine.reserve('state', 1 << 22);
      const x = engine.tensor('state', 64, [1 << 18]);
      const values = Float32Array.from({ length: 1 << 18 }, (_, i) => i / 7);
      const uploaded = engine.upload(x, values);
      const before = engine.readFloats(x);
      engine.run('fill', [3, x]);
      const after = engine.readFloats(x);
      await uploaded;
      expect(await before).toEqual(values);
      expect((await after).every((value) => value === 3)).toBe(true);
    },
  );

  test('a model that its attention cannot compute is refused before a step, and the message names the reason', async () => {
    const engine = { device: 'cuda', cudaLibrary: library } as const;
    const wide = smallConfig({ hiddenSize: 136, numAttentionHeads: 1 });
    expect(() => new Pretrainer({ config: wide, adam, engine })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/136.*cuda takes heads of at most 128/),
      }),
    );

    const config = smallConfig();
    const model = new Pretrainer({ config, adam, engine });
    await model.initialize(3);
    const batch = benchBatch(config, { samples: 2, tokens: [8, 8], objects: 129, seed: 1 });
    await expect(model.evaluate(batch, plainSum)).rejects.toMatchObject({
      code: 'BAD_DATA',
      message: expect.stringMatching(/has 129 objects, expected 1 to 128/),
    });
    await model.dispose();
  });

  test('promises settle in the order of the calls', async () => {
    const engine = open();
    engine.reserve('state', 1 << 20);
    const x = engine.tensor('state', 0, [1 << 16]);
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 3 === 0 ? engine.synchronize() : engine.readFloats(x)).then(() => order.push(i)),
      ),
    );
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  // Every function that writes parameters must also write their bf16 copy, which products read.
  test('uploads, fill, fillNormal and adamUpdate keep the bf16 copy of the parameters', async () => {
    const engine = open({ precision: 'bfloat16' });
    const size = 32;
    for (const arena of ['parameters', 'gradients', 'state', 'inputs', 'workspace'] as const)
      engine.reserve(arena, 1 << 16);
    const rows = { set: 'all', capacity: 1, split: 0, record: null } as const;
    const weight = engine.tensor('parameters', 4 * size, [size, size]);
    const x = engine.workspace.allocate([1, size], 'bf16', 'bottom');
    const y = engine.workspace.allocate([1, size], 'bf16', 'bottom');
    engine.run('fill', [1, x]);
    const product = async (): Promise<number> => {
      engine.run('linearForward', [rows, size, size, x, weight, null, y]);
      return (await engine.readFloats(y))[size - 1];
    };
    expect(await product()).toBe(0);
    await engine.upload(weight, new Float32Array(size * size).fill(0.5));
    expect(await product()).toBe(size / 2);
    engine.run('fill', [2, weight]);
    expect(await product()).toBe(2 * size);
    engine.run('fillNormal', [1, 5, 0, weight]);
    const last = (await engine.readFloats(weight)).slice(-size).map(roundToBf16);
    expect(await product()).toBe(roundToBf16(last.reduce((sum, value) => sum + value, 0)));
    engine.run('fill', [2, weight]);

    const whole = [size + size * size];
    const tensors = {
      chunks: engine.tensor('state', 0, [1, 2], 'i32'),
      norm: engine.tensor('state', 64, [2]),
      first: engine.tensor('inputs', 0, whole),
      second: engine.tensor('inputs', 8192, whole),
      record: engine.tensor('state', 256, [16], 'i32'),
    };
    const record = new Float32Array(16);
    record[2] = 1; // learning rate
    await engine.upload(tensors.record, new Int32Array(record.buffer));
    await engine.upload(tensors.chunks, Int32Array.of(0, whole[0]));
    const decay = 0.25; // only decay has an effect: w -= rate · decay · w
    const [parameters, gradients] = [engine.tensor('parameters', 0, whole), engine.tensor('gradients', 0, whole)];
    engine.run('adamUpdate', [
      ...[1, 0.9, 0.999, 1e-6, decay, 0],
      ...[tensors.record, tensors.chunks, parameters, gradients, tensors.first, tensors.second, tensors.norm],
    ]);
    expect(await product()).toBe(1.5 * size);
  });

  // cuBLASLt would read the bias as vectors of several elements.
  test.each(['float32', 'bfloat16'] as const)('%s: a bias may begin at any element', async (precision) => {
    const engine = open({ precision });
    for (const arena of ['parameters', 'state'] as const) engine.reserve(arena, 1 << 12);
    const rows = { set: 'all', capacity: 1, split: 0, record: null } as const;
    const weight = engine.tensor('parameters', 0, [3, 8]);
    const bias = engine.tensor('parameters', 4 * 25, [3]);
    const [x, y] = [64, 128].map((offset, i) =>
      engine.tensor('state', offset, [1, i === 0 ? 8 : 3], engine.activationDType),
    );
    engine.run('fill', [0.5, weight]);
    engine.run('fill', [2, x]);
    await engine.upload(bias, Float32Array.of(1, 2, 4));
    engine.run('linearForward', [rows, 8, 3, x, weight, bias, y]);
    expect([...(await engine.readFloats(y))]).toEqual([9, 10, 12]);
  });

  test('queued work still uses the old memory of an arena that is reserved again', async () => {
    const engine = open();
    for (const arena of ['state', 'gradients'] as const) engine.reserve(arena, 1 << 12);
    const [from, to] = [engine.tensor('gradients', 0, [8]), engine.tensor('state', 0, [8])];
    const indices = engine.tensor('state', 64, [1], 'i32');
    const rows = { set: 'all', capacity: 1, split: 0, record: null } as const;
    engine.run('fill', [3, from]);
    await engine.synchronize();
    engine.run('gatherRowsForward', [rows, 8, 1, indices, from, to]);
    engine.reserve('gradients', 1 << 13);
    expect([...(await engine.readFloats(to))]).toEqual(new Array(8).fill(3));
  });

  test('a device that cannot be opened leaves no stream and no event behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lxmert-open-'));
    try {
      const program = join(folder, 'failed-open');
      const sources = cudaSources.filter((path) => path !== 'native/cuda/emulator/gemm.cc');
      await build(program, ['test/cuda/failed_open.cu', ...sources], false);
      expect(run(program, []).stdout).toBe('NO_DEVICE, 0 left\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a request for too much memory is refused with the size of each arena, and changes nothing', async () => {
    const engine = open();
    engine.reserve('state', 4096);
    expect(() => engine.reserve('workspace', 2 ** 42)).toThrow(
      expect.objectContaining({
        code: 'OUT_OF_MEMORY',
        message: expect.stringMatching(/state .* GiB, workspace 4\.1e\+03 GiB.*smaller batch/),
      }),
    );
    expect(engine.memory().workspace).toBe(0);
    expect((await engine.readFloats(engine.tensor('state', 0, [4])))[0]).toBe(0);
  });

  test('two runs give the same bits', async () => {
    const result = async (): Promise<Float32Array> => {
      const engine = open({ precision: 'bfloat16' });
      engine.reserve('state', 1 << 20);
      const rows = { set: 'all', capacity: 600, split: 0, record: null } as const;
      const at = (offset: number, shape: number[], dtype: 'f32' | 'bf16') =>
        engine.tensor('state', offset, shape, dtype);
      const [dy, dWeight, dBias] = [at(0, [600, 64], 'bf16'), at(1 << 18, [64, 64], 'f32'), at(1 << 19, [64], 'f32')];
      await engine.upload(
        dy,
        Uint16Array.from({ length: 600 * 64 }, (_, i) => 0x3f00 + ((i * 37) % 255)),
      );
      engine.run('linearBackwardWeight', [rows, 64, 64, false, false, dy, dy, dWeight, dBias]);
      const [weight, bias] = await Promise.all([engine.readFloats(dWeight), engine.readFloats(dBias)]);
      return Float32Array.of(...weight, ...bias);
    };
    const first = await result();
    expect(first.some((value) => value !== 0)).toBe(true);
    expect(await result()).toEqual(first);
  });
});
