import { LxmertError } from '../../errors.js';
import type { DetectorWeights, Weight } from '../import/weight.js';
import type { GraphSettings } from '../import/settings.js';
import { gather } from './boxes.js';
import { int } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';
import { linear, withBias } from './layers.js';

export interface Heads {
  /** The scores of all classes except the background: [P, C]. */
  readonly classScores: Value;
  /** [P, 4 × C], or [P, 4] if all classes share the deltas; undefined if boxes are not moved. */
  readonly boxDeltas: Value | undefined;
  readonly sharedDeltas: boolean;
  /** The scores of all attributes except the background: [P, A]. */
  readonly attrScores: Value;
  readonly objects: number;
  readonly attributes: number;
  readonly featureDim: number;
}

/**
 * The heads for regions: scores of classes, deltas that move boxes, and scores of attributes.
 * @param features [P, F]
 */
export async function headsOf(
  g: GraphBuilder,
  weights: DetectorWeights,
  { backgroundFirst }: GraphSettings,
  features: Value,
): Promise<Heads> {
  const name = (part: string) => `roi_heads.box_predictor.${part}`;
  const cls = await withBias(weights, name('cls_score'), [-1, -1]);
  const [classes, width] = cls.kernel.shape;
  const objects = classes - 1;
  const embedding: Weight = await weights.get(`${name('cls_embedding')}.weight`, [classes, -1]);
  const fcAttr = await withBias(weights, name('fc_attr'), [-1, width + embedding.shape[1]]);
  const attr = await withBias(weights, name('attr_score'), [-1, fcAttr.kernel.shape[0]]);
  const classLogits = linear(g, features, name('cls_score'), cls, 'head.class_logits');
  const allScores = g.op('Softmax', [classLogits], { axis: int(1) }, 'head.class_scores');
  // In Caffe's recipe, boxes are not moved, so the weights of the deltas are not read.
  const { boxDeltas, sharedDeltas } = backgroundFirst
    ? { boxDeltas: undefined, sharedDeltas: false }
    : await boxDeltasOf(g, weights, features, { name, objects, width });
  // The most likely class, which may be the background.
  const best = g.op('ArgMax', [classLogits], { axis: int(1), keepdims: int(0) });
  const table = g.weight(`${name('cls_embedding')}.weight`, embedding.shape, embedding.values);
  const joined = g.op('Concat', [features, gather(g, table, best)], { axis: int(1) });
  const hidden = g.op('Relu', [linear(g, joined, name('fc_attr'), fcAttr)]);
  const attrLogits = linear(g, hidden, name('attr_score'), attr, 'head.attr_logits');
  // In Caffe's recipe the softmax of the attributes includes the background; in the other recipes it does not.
  const softmax = (of: Value) => g.op('Softmax', [of], { axis: int(1) }, 'head.attr_scores');
  const attrScores = backgroundFirst
    ? allButFirst(g, softmax(attrLogits))
    : softmax(g.op('Slice', [attrLogits, g.ints([0]), g.ints([-1]), g.ints([1])]));
  return {
    classScores: backgroundFirst
      ? allButFirst(g, allScores)
      : g.op('Slice', [allScores, g.ints([0]), g.ints([-1]), g.ints([1])]),
    ...{ boxDeltas, sharedDeltas, attrScores, objects },
    attributes: attr.kernel.shape[0] - 1,
    featureDim: width,
  };
}

/** All columns of [N, C] except the first. */
const allButFirst = (g: GraphBuilder, values: Value): Value =>
  g.op('Slice', [values, g.ints([1]), g.ints([Number.MAX_SAFE_INTEGER]), g.ints([1])]);

interface DeltaOptions {
  readonly name: (part: string) => string;
  readonly objects: number;
  readonly width: number;
}

async function boxDeltasOf(
  g: GraphBuilder,
  weights: DetectorWeights,
  features: Value,
  { name, objects, width }: DeltaOptions,
): Promise<{ readonly boxDeltas: Value; readonly sharedDeltas: boolean }> {
  const deltas = await withBias(weights, name('bbox_pred'), [-1, width]);
  const rows = deltas.kernel.shape[0];
  if (objects < 1 || (rows !== 4 && rows !== 4 * objects))
    throw new LxmertError(
      'BAD_DATA',
      `${weights.path}: '${name('bbox_pred')}.weight' has ${rows} rows, '${name('cls_score')}.weight' ${objects + 1}; ` +
        `expected ${4 * objects} or 4: four for each class but the background. Are the weights of another recipe?`,
    );
  return { boxDeltas: linear(g, features, name('bbox_pred'), deltas, 'head.box_deltas'), sharedDeltas: rows === 4 };
}

/** The highest value of each row of [N, C], and its column: [N] each. */
export function bestOf(g: GraphBuilder, values: Value): [Value, Value] {
  const highest = g.op('ReduceMax', [values, g.ints([1])], { keepdims: int(0) });
  return [highest, g.op('ArgMax', [values], { axis: int(1), keepdims: int(0) })];
}
