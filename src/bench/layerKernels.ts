import type { ModelConfig } from '../config/modelConfig.js';
import type { OpArgument, OpName, Rows, Tensor } from '../engine/index.js';
import { epsilon, p, type Kernel, type KernelSpace, type RowsName } from './kernel.js';

/** The three products of `x W^T + b` on one set of rows. */
export function linear(rowsName: RowsName, width: number, out: number): Kernel[] {
  const shape = `${rowsName} ${width} → ${out}`;
  const on = (op: OpName, rest: (space: KernelSpace, n: number) => OpArgument[]): Kernel => ({
    op,
    shape,
    args: (space) => {
      const rows = space.batch[rowsName];
      return [rows, width, out, ...rest(space, rows.capacity)];
    },
  });
  return [
    on('linearForward', (s, n) => [s.values(n, width), s.weights(out, width), s.weights(out), s.values(n, out)]),
    on('linearBackwardInput', (s, n) => [false, s.values(n, out), s.weights(out, width), s.values(n, width)]),
    on('linearBackwardWeight', (s, n) => [
      false,
      false,
      s.values(n, width),
      s.values(n, out),
      s.floats(out, width),
      s.floats(out),
    ]),
  ];
}

export function elementwise(name: 'gelu' | 'tanh', rowsName: RowsName, width: number): Kernel[] {
  const kernel = (op: OpName, operands: number): Kernel => ({
    op,
    shape: `${rowsName} ${width}`,
    args: (space) => {
      const rows = space.batch[rowsName];
      return [rows, width, ...Array.from({ length: operands }, () => space.values(rows.capacity, width))];
    },
  });
  return [kernel(`${name}Forward`, 2), kernel(`${name}Backward`, 3)];
}

export function attention(config: ModelConfig, rowsName: 'language' | 'vision' | 'stacked'): Kernel[] {
  const { hiddenSize: hidden, numAttentionHeads: heads } = config;
  const shape = `${rowsName === 'stacked' ? 'cross' : rowsName} ${heads} × ${hidden / heads}`;
  const common = (space: KernelSpace): readonly [OpArgument[], Rows] => {
    const { batch } = space;
    const rows = batch[rowsName];
    const { tokens, objects } = batch;
    const [first, second] = { language: [tokens], vision: [objects], stacked: [tokens, objects] }[rowsName];
    const places = [first.offsets, second?.offsets ?? null, first.longest, second?.longest ?? 0];
    return [[rows, batch.samples.capacity, heads, hidden / heads, ...places, space.dropout(p)], rows];
  };
  return [
    {
      op: 'attentionForward',
      shape,
      args: (s) => {
        const [args, { capacity: n }] = common(s);
        return [...args, 0, s.values(n, 3 * hidden), s.values(n, hidden), s.floats(n, heads), null, null];
      },
    },
    {
      op: 'attentionBackward',
      shape,
      args: (s) => {
        const [args, { capacity: n }] = common(s);
        return [...args, s.values(n, 3 * hidden), s.floats(n, heads), s.values(n, hidden), s.values(n, 3 * hidden)];
      },
    },
    {
      op: 'attentionMapGradient',
      shape,
      args: (s) => {
        const [args, { capacity: n }] = common(s);
        const { samples, tokens, objects } = s.batch;
        const side = Math.max(tokens.longest, objects.longest);
        const map = (): Tensor => s.floats(samples.capacity, heads, side, side);
        const second = rowsName === 'stacked' ? map() : null;
        return [...args, side, s.values(n, 3 * hidden), s.values(n, hidden), map(), second];
      },
    },
  ];
}

export function layerNorm({ hiddenSize: hidden }: ModelConfig): Kernel[] {
  const shape = `stacked ${hidden}`;
  return [
    {
      op: 'layerNormForward',
      shape,
      args: (s) => {
        const rows = s.batch.stacked;
        const [z, residual, out] = [0, 1, 2].map(() => s.values(rows.capacity, hidden));
        const weights = [s.floats(hidden), s.floats(hidden)];
        return [rows, hidden, epsilon, s.dropout(p), z, residual, ...weights, out, s.floats(rows.capacity, 2)];
      },
    },
    {
      op: 'layerNormBackward',
      shape,
      args: (s) => {
        const rows = s.batch.stacked;
        const [z, dOut, dResidual, dy] = [0, 1, 2, 3].map(() => s.values(rows.capacity, hidden));
        const kept = [z, s.floats(rows.capacity, 2), s.floats(hidden)];
        const gradients = [dResidual, dy, s.floats(hidden), s.floats(hidden)];
        return [rows, hidden, s.dropout(p), false, false, ...kept, dOut, ...gradients];
      },
    },
  ];
}

export function gather({ hiddenSize: hidden }: ModelConfig): Kernel[] {
  return (['gatherRowsForward', 'gatherRowsBackward'] as const).map((op) => ({
    op,
    shape: `maskedTokens ${hidden}`,
    args: (s) => {
      const { maskedTokens: rows, language } = s.batch;
      const [from, to] = [s.values(language.capacity, hidden), s.values(rows.capacity, hidden)];
      return [rows, hidden, language.capacity, s.batch.maskedTokenRows, from, to];
    },
  }));
}

/** The index of a table row for each object. Its class is used, because it is on the device already. */
export function gatherFeatures({ visualFeatDim: width, numObjectLabels: tableRows }: ModelConfig): Kernel[] {
  return [
    {
      op: 'gatherFeatures',
      shape: `vision ${width}`,
      args: (s) => {
        const { vision } = s.batch;
        const table = s.halves(tableRows, width);
        return [vision, width, tableRows, s.batch.objectLabels, table, s.values(vision.capacity, width)];
      },
    },
  ];
}
