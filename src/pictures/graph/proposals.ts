import type { DetectorWeights } from '../import/weight.js';
import type { GraphSettings } from '../import/settings.js';
import { caffeAnchors, cellAnchors, gridAnchors } from './anchors.js';
import { applyDeltas, clip, gather, rowsOfSize, suppress } from './boxes.js';
import { int, ints } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';
import { conv, withBias } from './layers.js';
import { stride } from './resnet.js';

/** Values of the picture in the graph. */
export interface PictureValues {
  /** res4's map: [1, C, H / 16, W / 16]. */
  readonly map: Value;
  /** The largest coordinates of a box, [1, 4]: x, y, x, y. */
  readonly limits: Value;
  /** How many pixels of the original picture one pixel of the prepared picture covers: [2], y, x. */
  readonly scale: Value;
}

/** Proposals: boxes that probably contain an object, best first; [P, 4] in pixels of the prepared picture. */
export async function proposalsOf(
  g: GraphBuilder,
  weights: DetectorWeights,
  settings: GraphSettings,
  { map, limits, scale }: PictureValues,
): Promise<Value> {
  const { anchor_generator, rpn, proposal_generator, plusOne } = settings;
  const anchorsOf = plusOne ? caffeAnchors : cellAnchors;
  const anchors = anchorsOf(anchor_generator.sizes[0], anchor_generator.aspect_ratios[0]);
  const count = anchors.length;
  const name = 'proposal_generator.rpn_head';
  const hidden = await withBias(weights, `${name}.conv`, [-1, -1, 3, 3]);
  const width = hidden.kernel.shape[0];
  const scores = settings.backgroundFirst ? 2 * count : count;
  const objectness = await withBias(weights, `${name}.objectness_logits`, [scores, width, 1, 1]);
  const anchorDeltas = await withBias(weights, `${name}.anchor_deltas`, [count * 4, width, 1, 1]);
  const t = g.op('Relu', [conv(g, map, `${name}.conv`, hidden, { padding: 1 })]);
  const scored = conv(g, t, `${name}.objectness_logits`, objectness, { output: 'rpn.logits' });
  // In Caffe each anchor has two scores, and the scores of the background come first. The difference of the two scores
  // gives the same order as their softmax.
  const channels = (from: number) => g.op('Slice', [scored, g.ints([from]), g.ints([from + count]), g.ints([1])]);
  const logits = byAnchor(g, scores === count ? scored : g.op('Sub', [channels(count), channels(0)]), 1);
  const deltas = byAnchor(g, conv(g, t, `${name}.anchor_deltas`, anchorDeltas, { output: 'rpn.deltas' }), 4);
  const grid = gridAnchors(g, map, anchors, stride);
  const best = (of: Value) => {
    const most = g.op('Min', [g.op('Shape', [of]), g.ints([rpn.pre_nms_topk_test])]);
    return g.op2('TopK', [of, most], { axis: int(0), largest: int(1), sorted: int(1) });
  };
  const moved = (from: Value, by: Value) => clip(g, applyDeltas(g, from, by, rpn.bbox_reg_weights, plusOne), limits);
  const kept = (boxes: Value, of: Value) => {
    const most = g.ints([rpn.post_nms_topk_test]);
    const rows = suppress(g, boxes, of, { most, threshold: rpn.nms_thresh, plusOne });
    gather(g, of, rows, 'proposals.logits');
    return gather(g, boxes, rows, 'proposals.boxes');
  };
  if (plusOne) {
    // First the small boxes are removed, then all but the best boxes. The smallest side is in pixels of the original
    // picture.
    const boxes = moved(grid, deltas);
    const least = g.op('Div', [g.floats([proposal_generator.min_size]), g.op('Gather', [scale, g.ints([0])])]);
    const large = rowsOfSize(g, boxes, { least, plusOne });
    const [topLogits, top] = best(gather(g, logits, large));
    return kept(gather(g, gather(g, boxes, large), top), topLogits);
  }
  const [topLogits, top] = best(logits);
  const boxes = moved(gather(g, grid, top), gather(g, deltas, top));
  const filled = rowsOfSize(g, boxes, { least: g.floats([proposal_generator.min_size]), plusOne });
  return kept(gather(g, boxes, filled), gather(g, topLogits, filled));
}

/**
 * The values of a map [1, A × each, H, W] in the order of cells, and within a cell in the order of anchors: [H × W × A,
 * each]. If `each` is 1, the result is [H × W × A].
 */
const byAnchor = (g: GraphBuilder, map: Value, each: number): Value =>
  g.op('Reshape', [
    g.op('Transpose', [map], { perm: ints(0, 2, 3, 1) }),
    each === 1 ? g.ints([-1]) : g.ints([-1, each]),
  ]);
