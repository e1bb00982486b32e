import type { ModelConfig } from '../../config/modelConfig.js';
import type { OnnxModel, OnnxStoredTensor, OnnxType } from '../../formats/onnx.js';
import { graphBuilder } from '../../formats/onnxBuilder.js';
import type { Value } from '../../formats/onnxBuilder.js';
import type { ExportTask, HeadName } from '../tasks.js';
import { answerHead, matchHead, objectHead, objectTransform, wordHead } from './heads.js';
import { lxmert, lxmertFirstRows, pooler } from './lxmert.js';
import { output, type ModelGraph, type Precision } from './modelGraph.js';
import { bySample, firstRows, rowsOf } from './streams.js';

/** The operators' version. It is the first one with LayerNormalization, so most runtimes know all operators of the graph. */
export const opset = 17;

export interface TaskGraphOptions {
  readonly task: ExportTask;
  readonly config: ModelConfig;
  readonly precision: Precision;
  /** Pictures of one question. */
  readonly pictures: 1 | 2;
  /** The heads that the weights have. */
  readonly heads: ReadonlySet<HeadName>;
  /** The parameter with this name. It is asked for once for each name that the graph needs. */
  readonly parameter: (name: string, type: OnnxType) => OnnxStoredTensor;
}

export interface TaskGraph {
  readonly model: OnnxModel;
  /** The parameters that the graph needs, in the order of their first use. */
  readonly parameters: readonly OnnxStoredTensor[];
}

/** The graph of a task: inputs, encoders, and the heads of the task. */
export function taskGraph({ task, config, precision, pictures, heads, parameter }: TaskGraphOptions): TaskGraph {
  const g = graphBuilder();
  const known = new Map<string, OnnxStoredTensor>();
  const weight = (name: string): Value => {
    const tensor = known.get(name) ?? parameter(name, precision);
    known.set(name, tensor);
    return g.storedWeight(tensor);
  };
  const m: ModelGraph = { g, config, precision, weight, inputs: [], outputs: [] };
  if (task === 'encoder') hiddenStates(m);
  else if (task === 'pretrain') allHeads(m, heads);
  else answers(m, pictures);
  const model = {
    name: `lxmert_${task}`,
    opset,
    nodes: g.nodes,
    weights: g.weights,
    inputs: m.inputs,
    outputs: m.outputs,
  };
  return { model, parameters: g.stored };
}

/** Last hidden states of both streams, and the pooled output. */
function hiddenStates(m: ModelGraph): void {
  const { hiddenSize } = m.config;
  const { language, vision } = lxmert(m);
  const pooled = pooler(m, firstRows(m, language.rows, language.stream));
  const states = (rows: Value, stream: typeof language.stream): Value => m.g.op('Reshape', [rows, stream.bySample]);
  output(m, 'language_output', states(language.rows, language.stream), ['batch', 'tokens', hiddenSize]);
  output(m, 'vision_output', states(vision.rows, vision.stream), ['batch', 'objects', hiddenSize]);
  output(m, 'pooled_output', pooled, ['batch', hiddenSize]);
}

/** Logits of the answers. For two pictures the pooled outputs of both are joined (LXMERT, section 4.2). */
function answers(m: ModelGraph, pictures: 1 | 2): void {
  const pooled = pooler(m, lxmertFirstRows(m, pictures));
  const joined = pictures === 1 ? pooled : rowsOf(m, pooled, 2 * m.config.hiddenSize);
  output(m, 'logits', answerHead(m, joined), ['batch', m.config.numQaLabels]);
}

/** The outputs of all heads of pre-training that the weights have. */
function allHeads(m: ModelGraph, heads: ReadonlySet<HeadName>): void {
  const { config } = m;
  const { language, vision } = lxmert(m);
  const words = (rows: Value, width: number): Value => bySample(m, rows, language.stream, width);
  const objects = (rows: Value, width: number): Value => bySample(m, rows, vision.stream, width);
  if (heads.has('words'))
    output(m, 'prediction_logits', words(wordHead(m, language.rows), config.vocabSize), [
      ...['batch', 'tokens'],
      config.vocabSize,
    ]);
  if (heads.has('match') || heads.has('answers')) {
    const pooled = pooler(m, firstRows(m, language.rows, language.stream));
    if (heads.has('match')) output(m, 'cross_relationship_score', matchHead(m, pooled), ['batch', 2]);
    if (heads.has('answers')) output(m, 'logits', answerHead(m, pooled), ['batch', config.numQaLabels]);
  }
  const ofObjects = [
    ['obj', 'object_logits', config.numObjectLabels],
    ['attr', 'attribute_logits', config.numAttrLabels],
    ['feat', 'feature_predictions', config.visualFeatDim],
  ] as const;
  const present = ofObjects.filter(([head]) => heads.has(head));
  if (present.length === 0) return;
  const transformed = objectTransform(m, vision.rows);
  for (const [head, name, width] of present)
    output(m, name, objects(objectHead(m, transformed, head), width), ['batch', 'objects', width]);
}
