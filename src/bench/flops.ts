import type { ModelConfig } from '../config/modelConfig.js';
import { examplesOf, type Batch } from '../data/batches/batch.js';

/** The numbers of a batch on which the cost of a step depends. */
export interface RowCounts {
  readonly samples: number;
  /** Number of questions. A question is one sample, or two. */
  readonly examples: number;
  readonly tokens: number;
  readonly objects: number;
  readonly maskedTokens: number;
  readonly maskedObjects: number;
  /** Pairs of query and key within samples: Σ tokens², Σ objects², Σ tokens × objects. */
  readonly tokenPairs: number;
  readonly objectPairs: number;
  readonly crossPairs: number;
}

export function rowCounts(batch: Batch): RowCounts {
  const lengths = (offsets: Int32Array): number[] =>
    Array.from({ length: batch.size }, (_, s) => offsets[s + 1] - offsets[s]);
  const tokens = lengths(batch.tokenOffsets);
  const objects = lengths(batch.objectOffsets);
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, n, s) => sum + n * b[s], 0);
  return {
    samples: batch.size,
    examples: examplesOf(batch),
    tokens: batch.tokenIds.length,
    objects: batch.objectLabels.length,
    maskedTokens: batch.maskedTokenRows.length,
    maskedObjects: batch.maskedObjectRows.length,
    tokenPairs: dot(tokens, tokens),
    objectPairs: dot(objects, objects),
    crossPairs: dot(tokens, objects),
  };
}

/** FLOPs of a product of [rows, width] and [width, out]; a multiply-add is two. */
const product = (rows: number, width: number, out: number): number => 2 * rows * width * out;

/** FLOPs of scores and context over pairs of query and key, all heads together. */
const attention = (pairs: number, hidden: number): number => 2 * product(pairs, hidden, 1);

/** One stream's self-attention and feed-forward, forward. */
function selfLayer({ hiddenSize: h, intermediateSize: inner }: ModelConfig, rows: number, pairs: number): number {
  return product(rows, h, 3 * h) + attention(pairs, h) + product(rows, h, h) + 2 * product(rows, h, inner);
}

/** The forward pass of the encoders' layers, without the embeddings. */
function layers(config: ModelConfig, n: RowCounts, crossLayers: number): number {
  const h = config.hiddenSize;
  const language = selfLayer(config, n.tokens, n.tokenPairs);
  const vision = selfLayer(config, n.objects, n.objectPairs);
  const cross = product(n.tokens + n.objects, h, 4 * h) + attention(2 * n.crossPairs, h);
  return config.lLayers * language + config.rLayers * vision + crossLayers * (cross + language + vision);
}

/** The forward projection of features and boxes to the hidden size. */
function objectInputs({ hiddenSize, visualFeatDim, visualPosDim }: ModelConfig, n: RowCounts): number {
  return product(n.objects, visualFeatDim, hiddenSize) + product(n.objects, visualPosDim, hiddenSize);
}

/** The forward pass of pooler and answer head; the head reads the pooled outputs of all samples of a question. */
function answerHead({ hiddenSize: h, numQaLabels }: ModelConfig, n: RowCounts): number {
  return product(n.samples, h, h) + product(n.samples, h, 2 * h) + product(n.examples, 2 * h, numQaLabels);
}

/**
 * FLOPs of the matrix products of one pre-training step with all tasks, forward and backward, on real rows only. Only
 * the products that the mathematics needs are counted, not those that an implementation repeats. The gradient of each
 * of a product's two inputs costs as much as the product; features and boxes are data and have no gradient. Base model,
 * 12 tokens and 36 objects: 27.0 GFLOP a sample.
 */
export function pretrainFlops(config: ModelConfig, n: RowCounts): number {
  const h = config.hiddenSize;
  const heads =
    answerHead(config, n) +
    product(n.samples, h, 2) +
    product(n.maskedTokens, h, h + config.vocabSize) +
    product(n.objects, h, h + config.numObjectLabels + config.numAttrLabels) +
    product(n.maskedObjects, h, config.visualFeatDim);
  return 3 * (layers(config, n, config.xLayers) + heads) + 2 * objectInputs(config, n);
}

/**
 * FLOPs of the matrix products on which an answer depends, forward. The pooler reads only the first row of each
 * sentence. So the last cross-modality layer needs the cross-attention of the language stream, the keys and values of
 * its self-attention, and all other products only for that one row.
 */
export function answerFlops(config: ModelConfig, n: RowCounts): number {
  return objectInputs(config, n) + answerLayers(config, n);
}

/** FLOPs of the matrix products of a fine-tuning step, forward and backward. */
export function finetuneFlops(config: ModelConfig, n: RowCounts): number {
  return 2 * objectInputs(config, n) + 3 * answerLayers(config, n);
}

/** FLOPs of an answer without the projection of features and boxes, forward. */
function answerLayers(config: ModelConfig, n: RowCounts): number {
  const { hiddenSize: h, intermediateSize: inner } = config;
  const last =
    product(n.tokens, h, 2 * h) + // query and output of the cross-attention
    product(n.objects, h, 2 * h) + // its keys and values
    attention(n.crossPairs, h) +
    product(n.tokens, h, 2 * h) + // keys and values of the self-attention
    attention(n.tokens, h) +
    product(n.samples, h, 2 * h) + // its query and output
    2 * product(n.samples, h, inner);
  return layers(config, n, config.xLayers - 1) + last + answerHead(config, n);
}
