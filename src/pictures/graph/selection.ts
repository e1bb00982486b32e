import type { GraphSettings } from '../import/settings.js';
import { applyDeltas, clip, column, gather, rowsWhere, suppress, suppressEach } from './boxes.js';
import { int, text } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';
import { bestOf } from './heads.js';
import type { Heads } from './heads.js';

/** The proposals from which the selection chooses, and how many it chooses. */
export interface Candidates {
  readonly heads: Heads;
  /** [P, 4] in pixels of the prepared picture. */
  readonly proposals: Value;
  readonly limits: Value;
  /** How many pixels of the original picture one pixel of the prepared picture covers, [1, 4]: x, y, x, y. */
  readonly scale: Value;
  /** The smallest and the largest number of objects, each [1] of int64. */
  readonly least: Value;
  readonly most: Value;
  /** Objects with at least this score are chosen, as far as `least` and `most` allow: [1]. */
  readonly threshold: Value;
}

export interface Selection {
  /** The chosen proposals, [M], in the order of the result. */
  readonly rows: Value;
  /** For all proposals: boxes in pixels of the original picture [P, 4], classes [P], scores of these classes [P]. */
  readonly boxes: Value;
  readonly classes: Value;
  readonly scores: Value;
}

/**
 * The number of the values [N] that reach the threshold, and the same number limited to at least `least`, at most
 * `most` and at most N; each [1].
 */
function countOf(g: GraphBuilder, values: Value, { least, most, threshold }: Candidates): [Value, Value] {
  const reached = g.op('Cast', [g.op('GreaterOrEqual', [values, threshold])], { to: int(7) });
  const count = g.op('ReduceSum', [reached], { keepdims: int(1) });
  return [count, g.op('Min', [g.op('Max', [count, least]), most, g.op('Shape', [values])])];
}

/**
 * detectron2's selection. Each proposal gets one class, and its box is moved by the deltas of this class. One
 * suppression covers the boxes of all classes. Its thresholds are tried one after the other, until enough boxes are
 * left. If no threshold leaves enough boxes, the result is the boxes that the last threshold leaves.
 */
export function selectMoved(g: GraphBuilder, settings: GraphSettings, candidates: Candidates): Selection {
  const { heads, proposals, limits, least, most } = candidates;
  const [scores, classes] = bestOf(g, heads.classScores);
  const deltas = heads.sharedDeltas
    ? heads.boxDeltas!
    : g.op(
        'GatherND',
        [
          g.op('Reshape', [heads.boxDeltas!, g.ints([-1, heads.objects, 4])]),
          g.op('Unsqueeze', [classes, g.ints([1])]),
        ],
        { batch_dims: int(1) },
      );
  const moved = applyDeltas(g, proposals, deltas, settings.roi_box_head.bbox_reg_weights, settings.plusOne);
  const boxes = clip(g, moved, limits);
  // The rows that each threshold leaves. They are padded with -1 to the same length, so that `Where` can choose among
  // them.
  const tries = settings.roi_heads.nms_thresh_test.map((threshold) => {
    const rows = suppress(g, boxes, scores, { most, threshold, plusOne: settings.plusOne });
    const padded = g.op('Pad', [rows, g.op('Concat', [g.ints([0]), most], { axis: int(0) }), g.ints([-1], [])]);
    return { rows: g.op('Slice', [padded, g.ints([0]), most]), count: g.op('Shape', [rows]) };
  });
  const chosen = tries
    .slice(0, -1)
    .reduceRight(
      (otherwise, { rows, count }) => g.op('Where', [g.op('GreaterOrEqual', [count, least]), rows, otherwise]),
      tries[tries.length - 1].rows,
    );
  const kept = gather(g, chosen, rowsWhere(g, g.op('GreaterOrEqual', [chosen, g.ints([0])])));
  const [, count] = countOf(g, gather(g, scores, kept), candidates);
  const rows = g.op('Slice', [kept, g.ints([0]), count], {}, 'final.proposal_ids');
  return { rows, boxes: g.op('Mul', [boxes, candidates.scale]), classes, scores };
}

/**
 * Caffe's selection, which made the published features. Proposals are not moved, and each class has a separate
 * suppression. The rank of a proposal is the best of its scores that suppression leaves. As in the original script, if
 * the number of proposals that reach the threshold is between `least` and `most`, the proposals keep their order.
 * Otherwise they are sorted by rank.
 */
export function selectByClass(g: GraphBuilder, settings: GraphSettings, candidates: Candidates): Selection {
  const { heads, proposals, least, most } = candidates;
  const [scores, classes] = bestOf(g, heads.classScores);
  const boxes = g.op('Mul', [proposals, candidates.scale]);
  const byClass = g.op('Transpose', [heads.classScores]);
  const all = g.op('Shape', [scores]);
  const kept = suppressEach(g, boxes, byClass, {
    most: all,
    threshold: settings.roi_heads.nms_thresh_test[0],
    plusOne: settings.plusOne,
  });
  const left = g.op('GatherND', [byClass, g.op('Slice', [kept, g.ints([1]), g.ints([3]), g.ints([1])])]);
  const nothing = g.op('Expand', [g.floats([0]), all]);
  const rows = g.op('Reshape', [column(g, kept, 2), g.ints([-1])]);
  const rank = g.op('ScatterElements', [nothing, rows, left], { axis: int(0), reduction: text('max') });
  const [reached, count] = countOf(g, rank, candidates);
  const topK = (values: Value) => g.op2('TopK', [values, count], { axis: int(0), largest: int(1), sorted: int(1) });
  const [ranks, best] = topK(rank);
  const uncorrected = g.op('Equal', [reached, g.op('Min', [g.op('Max', [reached, least]), most])]);
  const place = g.op('Neg', [g.op('Cast', [best], { to: int(1) })]);
  const [, order] = topK(g.op('Where', [uncorrected, place, ranks]));
  return { rows: gather(g, best, order, 'final.proposal_ids'), boxes, classes, scores };
}
