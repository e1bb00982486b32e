import type { ModelConfig } from '../config/modelConfig.js';
import {
  fill,
  fillNormal,
  type Dropout,
  type Engine,
  type OpArgument,
  type OpName,
  type Rows,
  type Tensor,
} from '../engine/index.js';
import type { StagedBatch } from '../tasks/staging.js';

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** One op on one shape. */
export interface Kernel {
  readonly op: OpName;
  /** In words: which rows, how wide. */
  readonly shape: string;
  /** Its arguments, in fresh memory of the workspace, in the order of its struct in native/engine/ops. */
  readonly args: (space: KernelSpace) => readonly OpArgument[];
}

/** Takes operands from an engine's workspace. */
export class KernelSpace {
  private streams = 0;

  constructor(
    readonly engine: Engine,
    readonly batch: StagedBatch,
    /** `chunkList()` on the device: [n, 2] */
    readonly chunks: Tensor,
  ) {}

  /** Normal values; in what is large, one value: normal ones would take longer to make than to work on. */
  floats(...shape: number[]): Tensor {
    const tensor = this.engine.workspace.allocate(shape, 'f32', 'bottom');
    if (sizeOf(shape) > largest) fill(this.engine, tensor, 0.1);
    else fillNormal(this.engine, tensor, { deviation: 1, seed: 0, stream: this.streams++ });
    return tensor;
  }

  zeros(...shape: number[]): Tensor {
    const tensor = this.engine.workspace.allocate(shape, 'f32', 'bottom');
    fill(this.engine, tensor, 0);
    return tensor;
  }

  ints(...shape: number[]): Tensor {
    return this.engine.workspace.allocate(shape, 'i32', 'bottom');
  }

  dropout(p: number, rowIds = this.batch.rowIds): Dropout {
    return { p, instance: 0, rowIds };
  }
}

const epsilon = 1e-12;
const p = 0.1;
const adam = [0.9, 0.999, 1e-6, 0.01, 1];
const largest = 2 ** 22;
const chunk = 2 ** 16;

type RowsName = 'samples' | 'language' | 'vision' | 'stacked' | 'maskedTokens' | 'maskedObjects';

/** The three products of `x W^T + b` on one set of rows. */
function linear(rowsName: RowsName, width: number, out: number): Kernel[] {
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
    on('linearForward', (s, n) => [s.floats(n, width), s.floats(out, width), s.floats(out), s.floats(n, out)]),
    on('linearBackwardInput', (s, n) => [false, s.floats(n, out), s.floats(out, width), s.floats(n, width)]),
    on('linearBackwardWeight', (s, n) => [
      false,
      false,
      s.floats(n, width),
      s.floats(n, out),
      s.floats(out, width),
      s.floats(out),
    ]),
  ];
}

function elementwise(name: 'gelu' | 'tanh', rowsName: RowsName, width: number): Kernel[] {
  const kernel = (op: OpName, operands: number): Kernel => ({
    op,
    shape: `${rowsName} ${width}`,
    args: (space) => {
      const rows = space.batch[rowsName];
      return [rows, width, ...Array.from({ length: operands }, () => space.floats(rows.capacity, width))];
    },
  });
  return [kernel(`${name}Forward`, 2), kernel(`${name}Backward`, 3)];
}

function attention(config: ModelConfig, rowsName: 'language' | 'vision' | 'stacked'): Kernel[] {
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
        return [...args, 0, s.floats(n, 3 * hidden), s.floats(n, hidden), s.floats(n, heads), null, null];
      },
    },
    {
      op: 'attentionBackward',
      shape,
      args: (s) => {
        const [args, { capacity: n }] = common(s);
        return [...args, s.floats(n, 3 * hidden), s.floats(n, heads), s.floats(n, hidden), s.floats(n, 3 * hidden)];
      },
    },
  ];
}

function layerNorm({ hiddenSize: hidden }: ModelConfig): Kernel[] {
  const shape = `stacked ${hidden}`;
  return [
    {
      op: 'layerNormForward',
      shape,
      args: (s) => {
        const rows = s.batch.stacked;
        const [z, residual, out] = [0, 1, 2].map(() => s.floats(rows.capacity, hidden));
        const weights = [s.floats(hidden), s.floats(hidden)];
        return [rows, hidden, epsilon, s.dropout(p), z, residual, ...weights, out, s.floats(rows.capacity, 2)];
      },
    },
    {
      op: 'layerNormBackward',
      shape,
      args: (s) => {
        const rows = s.batch.stacked;
        const [z, dOut, dResidual, dy] = [0, 1, 2, 3].map(() => s.floats(rows.capacity, hidden));
        const kept = [z, s.floats(rows.capacity, 2), s.floats(hidden)];
        const gradients = [dResidual, dy, s.floats(hidden), s.floats(hidden)];
        return [rows, hidden, s.dropout(p), false, false, ...kept, dOut, ...gradients];
      },
    },
  ];
}

function embeddings({ hiddenSize: hidden, vocabSize, maxPositionEmbeddings, typeVocabSize }: ModelConfig): Kernel[] {
  const tokens = (s: KernelSpace): OpArgument[] => [
    s.batch.language,
    hidden,
    vocabSize,
    maxPositionEmbeddings,
    s.dropout(p),
    s.batch.tokenIds,
    s.batch.rowIds,
    s.floats(vocabSize, hidden),
    s.floats(maxPositionEmbeddings, hidden),
    s.floats(typeVocabSize, hidden),
    s.floats(hidden),
  ];
  const objects = (s: KernelSpace): OpArgument[] => [
    s.batch.vision,
    hidden,
    s.dropout(p),
    s.floats(s.batch.vision.capacity, hidden),
    s.batch.visualPos,
    s.floats(hidden, 4),
    s.floats(hidden),
    s.floats(hidden),
    s.floats(hidden),
  ];
  const vectors = (s: KernelSpace, n: number): Tensor[] => Array.from({ length: n }, () => s.floats(hidden));
  return [
    {
      op: 'tokenEmbeddingForward',
      shape: `language ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.language;
        return [...tokens(s), epsilon, s.floats(hidden), s.floats(n, hidden), s.floats(n, 2)];
      },
    },
    {
      op: 'tokenEmbeddingBackward',
      shape: `language ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.language;
        const tables = [s.floats(vocabSize, hidden), s.floats(maxPositionEmbeddings, hidden)];
        const given = [s.floats(n, 2), s.floats(n, hidden), s.floats(n, hidden)];
        return [...tokens(s), false, ...given, ...tables, ...vectors(s, 2)];
      },
    },
    {
      op: 'objectEmbeddingForward',
      shape: `vision ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.vision;
        return [...objects(s), epsilon, ...vectors(s, 2), s.floats(n, hidden), s.floats(n, 4)];
      },
    },
    {
      op: 'objectEmbeddingBackward',
      shape: `vision ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.vision;
        const given = [s.floats(n, 4), s.floats(n, hidden), s.floats(n, hidden)];
        return [...objects(s), false, ...given, s.floats(hidden, 4), ...vectors(s, 5)];
      },
    },
  ];
}

function gather({ hiddenSize: hidden }: ModelConfig): Kernel[] {
  return (['gatherRowsForward', 'gatherRowsBackward'] as const).map((op) => ({
    op,
    shape: `maskedTokens ${hidden}`,
    args: (s) => {
      const { maskedTokens: rows, language } = s.batch;
      const [from, to] = [s.floats(language.capacity, hidden), s.floats(rows.capacity, hidden)];
      return [rows, hidden, language.capacity, s.batch.maskedTokenRows, from, to];
    },
  }));
}

function losses(config: ModelConfig): Kernel[] {
  const crossEntropy = (rowsName: 'maskedTokens' | 'vision', classes: number): Kernel[] => {
    const shape = `${rowsName} ${classes}`;
    const labelsOf = (s: KernelSpace): Tensor =>
      rowsName === 'vision' ? s.batch.objectLabels : s.batch.maskedTokenLabels;
    const logits = (s: KernelSpace): Tensor => s.floats(s.batch[rowsName].capacity, classes);
    return [
      {
        op: 'softmaxCrossEntropyForward',
        shape,
        args: (s) => {
          const rows = s.batch[rowsName];
          const n = rows.capacity;
          return [
            rows,
            classes,
            classes,
            logits(s),
            null,
            labelsOf(s),
            s.floats(n),
            s.ints(n),
            s.floats(n),
            s.floats(4),
          ];
        },
      },
      {
        op: 'softmaxCrossEntropyBackward',
        shape,
        args: (s) => {
          const rows = s.batch[rowsName];
          return [rows, classes, classes, 0, logits(s), null, labelsOf(s), s.floats(rows.capacity)];
        },
      },
    ];
  };
  const width = config.visualFeatDim;
  return [
    ...crossEntropy('maskedTokens', config.vocabSize),
    ...crossEntropy('vision', config.numObjectLabels),
    {
      op: 'smoothL1Forward',
      shape: `maskedObjects ${width}`,
      args: (s) => {
        const rows = s.batch.maskedObjects;
        const n = rows.capacity;
        return [rows, width, s.floats(n, width), s.batch.featureTargets, s.floats(n), s.floats(4)];
      },
    },
    {
      op: 'smoothL1Backward',
      shape: `maskedObjects ${width}`,
      args: (s) => {
        const rows = s.batch.maskedObjects;
        return [rows, width, 0, s.floats(rows.capacity, width), s.batch.featureTargets];
      },
    },
  ];
}

/** Kernels whose work grows with the batch. */
export function batchKernels(config: ModelConfig): Kernel[] {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  return [
    ...linear('stacked', hidden, 3 * hidden),
    ...linear('stacked', hidden, hidden),
    ...linear('vision', hidden, inner),
    ...linear('vision', inner, hidden),
    ...linear('language', hidden, inner),
    ...linear('language', inner, hidden),
    ...linear('vision', config.visualFeatDim, hidden),
    ...linear('vision', hidden, config.numObjectLabels),
    ...linear('maskedTokens', hidden, config.vocabSize),
    ...linear('samples', 2 * hidden, config.numQaLabels),
    ...elementwise('gelu', 'vision', inner),
    ...elementwise('tanh', 'samples', hidden),
    ...attention(config, 'language'),
    ...attention(config, 'vision'),
    ...attention(config, 'stacked'),
    ...layerNorm(config),
    ...embeddings(config),
    ...gather(config),
    ...losses(config),
  ];
}

/** Kernels that work on a number of parameters, whatever the batch. */
export function parameterKernels(elements: number): Kernel[] {
  const shape = `${elements / 2 ** 20} Mi parameters`;
  const count = elements / chunk;
  return [
    {
      op: 'gradNorm',
      shape,
      args: (s) => [count, s.chunks, s.floats(elements), s.floats(count), s.floats(2)],
    },
    {
      op: 'adamUpdate',
      shape,
      args: (s) => {
        const [parameters, gradients, first] = [0, 1, 2].map(() => s.floats(elements));
        return [count, ...adam, s.batch.record, s.chunks, parameters, gradients, first, s.zeros(elements), s.zeros(2)];
      },
    },
    { op: 'fill', shape, args: (s) => [0, s.floats(elements)] },
    { op: 'fillNormal', shape, args: (s) => [1, 0, 0, s.floats(elements)] },
  ];
}

/** The optimizer's list of so many elements: [n, 2] begin and length. */
export function chunkList(elements: number): Int32Array {
  return Int32Array.from({ length: (2 * elements) / chunk }, (_, i) => (i % 2 === 0 ? (i / 2) * chunk : chunk));
}

/** Ops that are benched: all of the table. */
export function kernelOps(config: ModelConfig): OpName[] {
  return [...new Set([...batchKernels(config), ...parameterKernels(chunk)].map(({ op }) => op))];
}
