import type { OnnxModel } from '../../formats/onnx.js';
import type { DetectorWeights } from '../import/weight.js';
import type { GraphSettings } from '../import/settings.js';
import { gather } from './boxes.js';
import { graphBuilder, int } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';
import { bestOf, headsOf } from './heads.js';
import { proposalsOf } from './proposals.js';
import { regionFeatures, trunk } from './resnet.js';
import { selectByClass, selectMoved } from './selection.js';

/** The names of the graph's inputs and outputs. */
export const ports = {
  /** The prepared picture, [1, 3, H, W]: blue, green, red. */
  image: 'image',
  /** How many pixels of the original picture one pixel of the prepared picture covers: y, x. */
  scale: 'scale',
  /** The smallest and the largest number of boxes to choose. */
  counts: 'counts',
  /** Boxes with at least this score are chosen, as far as `counts` allows. */
  threshold: 'threshold',
  boxes: 'boxes',
  features: 'features',
  objectIds: 'object_ids',
  objectConf: 'object_conf',
  attrIds: 'attr_ids',
  attrConf: 'attr_conf',
} as const;

/** Values inside the graph that can also be outputs, so that a test can compare each step with a reference. */
export const stages = [
  'stem',
  'res4',
  'rpn.logits',
  'rpn.deltas',
  'proposals.boxes',
  'proposals.logits',
  'roi.pooled',
  'head.mean_features',
  'head.class_logits',
  'head.class_scores',
  'head.box_deltas',
  'head.attr_logits',
  'head.attr_scores',
  'final.proposal_ids',
] as const;
type Stage = (typeof stages)[number];

export interface DetectorGraph {
  readonly model: OnnxModel;
  readonly objects: number;
  readonly attributes: number;
  readonly featureDim: number;
}

/**
 * A complete detector as one graph: Faster R-CNN on a ResNet C4 trunk, with an attribute head. The weights give the
 * widths, the depth and the numbers of classes. The settings choose the geometry of Caffe (bottom-up-attention) or of
 * detectron2.
 * @param withStages whether the values of `stages` are also outputs
 * @throws BAD_DATA for weights that are missing or of other shapes
 */
export async function detectorGraph(
  weights: DetectorWeights,
  settings: GraphSettings,
  { withStages = false }: { readonly withStages?: boolean } = {},
): Promise<DetectorGraph> {
  const g = graphBuilder();
  const map = await trunk(g, weights, settings, ports.image);
  const limits = limitsOf(g, settings);
  const proposals = await proposalsOf(g, weights, settings, { map, limits, scale: ports.scale });
  const features = await regionFeatures(g, weights, settings, { map, proposals });
  const heads = await headsOf(g, weights, settings, features);
  const select = settings.backgroundFirst ? selectByClass : selectMoved;
  const kept = select(g, settings, {
    ...{ heads, proposals, limits, threshold: ports.threshold },
    scale: g.op('Gather', [ports.scale, g.ints([1, 0, 1, 0])], { axis: int(0) }),
    least: g.op('Gather', [ports.counts, g.ints([0])]),
    most: g.op('Gather', [ports.counts, g.ints([1])]),
  });
  const [attrConf, attrIds] = bestOf(g, heads.attrScores);
  gather(g, kept.boxes, kept.rows, ports.boxes);
  gather(g, features, kept.rows, ports.features);
  gather(g, kept.classes, kept.rows, ports.objectIds);
  gather(g, kept.scores, kept.rows, ports.objectConf);
  gather(g, attrIds, kept.rows, ports.attrIds);
  gather(g, attrConf, kept.rows, ports.attrConf);
  const outputs: OnnxModel['outputs'] = [
    { name: ports.boxes, type: 'float32', dims: ['boxes', 4] },
    { name: ports.features, type: 'float32', dims: ['boxes', heads.featureDim] },
    { name: ports.objectIds, type: 'int64', dims: ['boxes'] },
    { name: ports.objectConf, type: 'float32', dims: ['boxes'] },
    { name: ports.attrIds, type: 'int64', dims: ['boxes'] },
    { name: ports.attrConf, type: 'float32', dims: ['boxes'] },
  ];
  const made = new Set(g.nodes.flatMap(({ outputs: names }) => names));
  return {
    model: {
      name: 'faster_rcnn',
      nodes: g.nodes,
      weights: g.weights,
      inputs: [
        { name: ports.image, type: 'float32', dims: [1, 3, 'height', 'width'] },
        { name: ports.scale, type: 'float32', dims: [2] },
        { name: ports.counts, type: 'int64', dims: [2] },
        { name: ports.threshold, type: 'float32', dims: [1] },
      ],
      outputs: withStages ? [...outputs, ...stages.filter((stage) => made.has(stage)).map(stagePort)] : outputs,
    },
    objects: heads.objects,
    attributes: heads.attributes,
    featureDim: heads.featureDim,
  };
}

const stageRanks: Partial<Record<Stage, number>> = {
  stem: 4,
  res4: 4,
  'rpn.logits': 4,
  'rpn.deltas': 4,
  'roi.pooled': 4,
  'proposals.logits': 1,
  'final.proposal_ids': 1,
};

function stagePort(name: Stage): OnnxModel['outputs'][number] {
  const dims = Array.from({ length: stageRanks[name] ?? 2 }, (_, axis) => `${name}.${axis}`);
  return { name, type: name.endsWith('_ids') ? 'int64' : 'float32', dims };
}

/** The largest coordinates of a box, [1, 4]: the size of the picture, or in Caffe's geometry its last pixel. */
function limitsOf(g: GraphBuilder, { plusOne }: GraphSettings): Value {
  const shape = g.op('Cast', [g.op('Shape', [ports.image])], { to: int(1) });
  const size = (axis: number) =>
    g.op('Reshape', [g.op('Slice', [shape, g.ints([axis]), g.ints([axis + 1])]), g.ints([1, 1])]);
  const [height, width] = [size(2), size(3)];
  const sizes = g.op('Concat', [width, height, width, height], { axis: int(1) });
  return plusOne ? g.op('Sub', [sizes, g.floats([1])]) : sizes;
}
