import type { ModelConfig } from '../config/modelConfig.js';
import type { OpArgument, Tensor } from '../engine/index.js';
import { wordColumns } from '../model/parameters.js';
import { epsilon, p, type Kernel, type KernelSpace } from './kernel.js';

// The first and the last ops of a step: embeddings and losses.

export function embeddings({
  hiddenSize: hidden,
  vocabSize,
  maxPositionEmbeddings,
  typeVocabSize,
}: ModelConfig): Kernel[] {
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
    s.values(s.batch.vision.capacity, hidden),
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
        return [...tokens(s), epsilon, s.floats(hidden), s.values(n, hidden), s.floats(n, 2)];
      },
    },
    {
      op: 'tokenEmbeddingBackward',
      shape: `language ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.language;
        const tables = [s.floats(vocabSize, hidden), s.floats(maxPositionEmbeddings, hidden)];
        const given = [s.floats(n, 2), s.values(n, hidden), s.floats(n, hidden)];
        return [...tokens(s), false, ...given, ...tables, ...vectors(s, 2)];
      },
    },
    {
      op: 'objectEmbeddingForward',
      shape: `vision ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.vision;
        return [...objects(s), epsilon, ...vectors(s, 2), s.values(n, hidden), s.floats(n, 4)];
      },
    },
    {
      op: 'objectEmbeddingBackward',
      shape: `vision ${hidden}`,
      args: (s) => {
        const { capacity: n } = s.batch.vision;
        const given = [s.floats(n, 4), s.values(n, hidden), s.values(n, hidden)];
        return [...objects(s), false, ...given, s.floats(hidden, 4), ...vectors(s, 5)];
      },
    },
  ];
}

export function losses(config: ModelConfig): Kernel[] {
  const crossEntropy = (rowsName: 'maskedTokens' | 'vision', classes: number, width = classes): Kernel[] => {
    const shape = `${rowsName} ${width}`;
    const labelsOf = (s: KernelSpace): Tensor =>
      rowsName === 'vision' ? s.batch.objectLabels : s.batch.maskedTokenLabels;
    const logits = (s: KernelSpace): Tensor => s.values(s.batch[rowsName].capacity, width);
    return [
      {
        op: 'softmaxCrossEntropyForward',
        shape,
        args: (s) => {
          const rows = s.batch[rowsName];
          const n = rows.capacity;
          return [rows, classes, width, logits(s), null, labelsOf(s), s.floats(n), s.ints(n), s.floats(n), s.floats(4)];
        },
      },
      {
        op: 'softmaxCrossEntropyBackward',
        shape,
        args: (s) => {
          const rows = s.batch[rowsName];
          return [rows, classes, width, 0, logits(s), null, labelsOf(s), s.floats(rows.capacity)];
        },
      },
    ];
  };
  const answers = config.numQaLabels;
  // The words of a sample are used as its scored answers. They are valid entries of the targets, and their number is
  // not much larger than in real data.
  const scored = (s: KernelSpace): OpArgument[] => {
    const { tokenIds, tokens } = s.batch;
    const [entries] = tokenIds.shape;
    return [entries, tokens.offsets, tokenIds, s.floats(entries)];
  };
  const sigmoid: Kernel[] = [
    {
      op: 'sigmoidCrossEntropyForward',
      shape: `samples ${answers}`,
      args: (s) => {
        const { capacity: n } = s.batch.samples;
        const out = [s.ints(n), s.floats(n), s.floats(n), s.floats(4)];
        return [s.batch.samples, answers, answers, s.values(n, answers), ...scored(s), ...out];
      },
    },
    {
      op: 'sigmoidCrossEntropyBackward',
      shape: `samples ${answers}`,
      args: (s) => [s.batch.samples, answers, answers, 0, s.values(s.batch.samples.capacity, answers), ...scored(s)],
    },
  ];
  const width = config.visualFeatDim;
  return [
    ...sigmoid,
    ...crossEntropy('maskedTokens', config.vocabSize, wordColumns(config)),
    ...crossEntropy('vision', config.numObjectLabels),
    {
      op: 'smoothL1Forward',
      shape: `maskedObjects ${width}`,
      args: (s) => {
        const rows = s.batch.maskedObjects;
        const n = rows.capacity;
        return [rows, width, s.values(n, width), s.floats(n, width), s.floats(n), s.floats(4)];
      },
    },
    {
      op: 'smoothL1Backward',
      shape: `maskedObjects ${width}`,
      args: (s) => {
        const rows = s.batch.maskedObjects;
        return [rows, width, 0, s.values(rows.capacity, width), s.floats(rows.capacity, width)];
      },
    },
  ];
}
