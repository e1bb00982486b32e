/** Tensors that the typed engine and its ops refuse before they call the addon, and tensors after the end of a workspace or engine. */
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  allRows,
  bytesOf,
  Engine,
  gatherRows,
  gelu,
  layerNorm,
  linear,
  packedAttention,
  crossAttention,
  residualDropoutLayerNorm,
  rowBlock,
  sigmoidCrossEntropy,
  smoothL1,
  softmaxCrossEntropy,
  Tape,
  tokenEmbedding,
  objectEmbedding,
  type DType,
  type Parameter,
  type Tensor,
} from '../../../src/engine/index.js';
import type { OpName } from '../../../src/engine/native.js';

const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.dispose();
});

function openEngine(): Engine {
  const engine = Engine.create({ device: 'cpu', threads: 1 });
  engines.push(engine);
  for (const arena of ['parameters', 'gradients', 'state', 'inputs', 'workspace'] as const)
    engine.reserve(arena, 1 << 16);
  return engine;
}

const withCode = (code: string): unknown => expect.objectContaining({ name: 'LxmertError', code });
const rows = allRows(4);

describe('Engine', () => {
  test('refuses unknown ops, and wrong numbers of arguments', async () => {
    const engine = openEngine();
    expect(() => engine.run('noSuchOp' as OpName, [])).toThrow(withCode('UNSUPPORTED'));
    expect(() => engine.run('fill', [])).toThrow(withCode('BAD_ARGUMENT'));
    expect(() => engine.run('fill', new Array<number>(500).fill(0))).toThrow(withCode('BAD_ARGUMENT'));
    const x = engine.tensor('inputs', 0, [4]);
    expect(() => engine.run('fill', [0, { ...x, arena: 'nowhere' as 'inputs' }])).toThrow(withCode('BAD_ARGUMENT'));
    expect(() => engine.run('fill', [0, { ...x, shape: [NaN] }])).toThrow(withCode('BAD_ARGUMENT'));
    await engine.synchronize();
  });

  test.each([
    [-4, [1]],
    [NaN, [1]],
    [0.5, [1]],
    [2, [1]],
    [Infinity, [1]],
    [0, [16385]],
    [65536, [1]],
    [2 ** 53, [1]],
    [0, [-1]],
    [0, [NaN]],
    [0, [2.5]],
    [0, [-2, -2]],
    [0, [Infinity]],
  ])('refuses a tensor at %p of shape %p', (offset, shape) => {
    const engine = openEngine();
    expect(() => engine.tensor('inputs', offset, shape)).toThrow(withCode('BAD_ARGUMENT'));
  });

  test('refuses an upload of another size', async () => {
    const engine = openEngine();
    const x = engine.tensor('inputs', 0, [4]);
    for (const source of [new Float32Array(3), new Float32Array(5), new Uint8Array(4), new Float64Array(4)])
      await expect(engine.upload(x, source)).rejects.toEqual(withCode('BAD_ARGUMENT'));
  });

  test('refuses tensors of a workspace that has been reset or reserved again', async () => {
    const engine = openEngine();
    for (const end of [() => engine.workspace.reset(1 << 16), () => engine.reserve('workspace', 1 << 16)]) {
      const old = engine.workspace.allocate([4], 'f32', 'bottom');
      engine.run('fill', [1, old]);
      end();
      expect(() => engine.run('fill', [1, old])).toThrow(withCode('DISPOSED'));
      expect(() => engine.run('geluForward', [rows, 1, old, old])).toThrow(withCode('DISPOSED'));
      await expect(engine.read(old)).rejects.toEqual(withCode('DISPOSED'));
      await expect(engine.upload(old, new Float32Array(4))).rejects.toEqual(withCode('DISPOSED'));
    }
  });

  test('refuses tensors outside an arena that has become smaller', async () => {
    const engine = openEngine();
    const x = engine.tensor('inputs', 1024, [64]);
    engine.reserve('inputs', 1024);
    expect(() => engine.run('fill', [1, x])).toThrow(withCode('BAD_ARGUMENT'));
    await expect(engine.read(x)).rejects.toEqual(withCode('BAD_ARGUMENT'));
    await expect(engine.upload(x, new Float32Array(64))).rejects.toEqual(withCode('BAD_ARGUMENT'));
  });

  test('refuses every call after it was disposed of', async () => {
    const engine = openEngine();
    const x = engine.tensor('inputs', 0, [4]);
    await engine.dispose();
    expect(() => engine.run('fill', [1, x])).toThrow(withCode('DISPOSED'));
    expect(() => engine.reserve('inputs', 64)).toThrow(withCode('DISPOSED'));
    await expect(engine.read(x)).rejects.toEqual(withCode('DISPOSED'));
    await expect(engine.upload(x, new Float32Array(4))).rejects.toEqual(withCode('DISPOSED'));
    await expect(engine.synchronize()).rejects.toEqual(withCode('DISPOSED'));
    await engine.dispose();
  });

  test.each([-1, 0.5, NaN, 1025])('refuses %p threads', (threads) => {
    expect(() => Engine.create({ threads })).toThrow(withCode('BAD_ARGUMENT'));
  });
});

describe('ops refuse tensors of other shapes', () => {
  interface Room {
    readonly tape: Tape;
    readonly of: (...shape: number[]) => Tensor;
    readonly ints: (...shape: number[]) => Tensor;
    readonly weight: (...shape: number[]) => Parameter;
  }

  function openRoom(): Room {
    const engine = openEngine();
    const tape = new Tape(engine, { training: true });
    let end = 0;
    const place = (shape: number[], dtype: DType): Tensor => {
      const tensor = engine.tensor('inputs', end, shape, dtype);
      end += bytesOf(tensor);
      return tensor;
    };
    const of = (...shape: number[]): Tensor => place(shape, 'f32');
    return {
      tape,
      of,
      ints: (...shape) => place(shape, 'i32'),
      weight: (...shape) => ({ name: 'weight', tensor: of(...shape), gradient: engine.tensor('gradients', 0, shape) }),
    };
  }

  const norm = ({ weight }: Room, width: number) => ({ weight: weight(width), bias: weight(width) });
  const samplesOf = ({ ints }: Room) => ({ offsets: ints(2), longest: 4 });
  const table = (room: Room) => ({
    word: room.weight(9, 8),
    position: room.weight(5, 8),
    type: room.weight(2, 8),
    norm: norm(room, 8),
  });
  const tally = ({ of }: Room) => ({ tally: of(4), slot: 0 });

  test.each<[string, (room: Room) => unknown]>([
    ['linear: input width', (r) => linear(r.tape, rows, r.of(4, 7), { weight: r.weight(3, 8) })],
    ['linear: input rows', (r) => linear(r.tape, rows, r.of(3, 8), { weight: r.weight(3, 8) })],
    ['linear: bias', (r) => linear(r.tape, rows, r.of(4, 8), { weight: r.weight(3, 8), bias: r.weight(2) })],
    ['gelu: rows', (r) => gelu(r.tape, rows, r.of(3, 8))],
    ['layerNorm: width', (r) => layerNorm(r.tape, rows, r.of(4, 7), norm(r, 8))],
    [
      'residualDropoutLayerNorm: residual',
      (r) =>
        residualDropoutLayerNorm(r.tape, rows, r.of(4, 7), r.of(4, 8), norm(r, 8), {
          dropout: 0,
          rowIds: r.ints(4, 2),
        }),
    ],
    [
      'residualDropoutLayerNorm: dropout without a step record',
      (r) =>
        residualDropoutLayerNorm(r.tape, rows, r.of(4, 8), r.of(4, 8), norm(r, 8), {
          dropout: 0.5,
          rowIds: r.ints(4, 2),
        }),
    ],
    [
      'packedAttention: heads',
      (r) => packedAttention(r.tape, rows, r.of(4, 24), samplesOf(r), { heads: 3, dropout: 0, rowIds: r.ints(4, 2) }),
    ],
    [
      'packedAttention: rows',
      (r) => packedAttention(r.tape, rows, r.of(3, 24), samplesOf(r), { heads: 2, dropout: 0, rowIds: r.ints(4, 2) }),
    ],
    [
      'packedAttention: no step record',
      (r) => packedAttention(r.tape, rows, r.of(4, 24), samplesOf(r), { heads: 2, dropout: 0, rowIds: r.ints(4, 2) }),
    ],
    ['gatherRows: indices', (r) => gatherRows(r.tape, rows, r.of(5, 8), r.ints(3))],
    ['gatherRows: indices of floats', (r) => gatherRows(r.tape, rows, r.of(5, 8), r.of(4))],
    [
      'softmaxCrossEntropy: labels',
      (r) => softmaxCrossEntropy(r.tape, rows, r.of(4, 8), { labels: r.ints(3) }, tally(r)),
    ],
    [
      'sigmoidCrossEntropy: offsets',
      (r) =>
        sigmoidCrossEntropy(
          r.tape,
          rows,
          r.of(4, 8),
          { offsets: r.ints(4), ids: r.ints(6), scores: r.of(6) },
          tally(r),
        ),
    ],
    [
      'sigmoidCrossEntropy: scores',
      (r) =>
        sigmoidCrossEntropy(
          r.tape,
          rows,
          r.of(4, 8),
          { offsets: r.ints(5), ids: r.ints(6), scores: r.of(5) },
          tally(r),
        ),
    ],
    ['smoothL1: target', (r) => smoothL1(r.tape, rows, r.of(4, 8), r.of(4, 7), tally(r))],
    [
      'tokenEmbedding: ids',
      (r) => tokenEmbedding(r.tape, rows, r.ints(3), table(r), { dropout: 0, rowIds: r.ints(4, 2) }),
    ],
    [
      'tokenEmbedding: row ids',
      (r) => tokenEmbedding(r.tape, rows, r.ints(4), table(r), { dropout: 0, rowIds: r.ints(4) }),
    ],
    [
      'objectEmbedding: boxes',
      (r) =>
        objectEmbedding(
          r.tape,
          rows,
          r.of(4, 6),
          r.of(4, 3),
          {
            feature: { weight: r.weight(8, 6), bias: r.weight(8) },
            box: { weight: r.weight(8, 4), bias: r.weight(8) },
            featureNorm: norm(r, 8),
            boxNorm: norm(r, 8),
          },
          { dropout: 0, rowIds: r.ints(4, 2) },
        ),
    ],
  ])('%s', (_, call) => {
    const room = openRoom();
    expect(() => call(room)).toThrow(withCode('BAD_ARGUMENT'));
  });

  test('crossAttention accepts only stacked rows', () => {
    const room = openRoom();
    expect(() =>
      crossAttention(room.tape, rows, room.of(4, 24), samplesOf(room), samplesOf(room), {
        heads: 2,
        dropout: 0,
        rowIds: room.ints(4, 2),
      }),
    ).toThrow(withCode('INTERNAL'));
  });

  test.each([
    [-1, 2],
    [0, 5],
    [4, 1],
    [NaN, 1],
    [0.5, 1],
  ])('a block of rows %p + %p of 4', (first, count) => {
    const room = openRoom();
    expect(() => rowBlock(room.of(4, 2), first, count)).toThrow(withCode('BAD_ARGUMENT'));
  });
});
