import { LxmertError } from '../errors.js';
import { applyDeltas, byAnchor, cellAnchors, clip, gather, gridAnchors, rowsLargerThan, suppress } from './boxes.js';
import { foldedConv } from './detectorWeights.js';
import type { DetectorWeights, FoldedConv, Weight } from './detectorWeights.js';
import type { FrcnnConfig } from './frcnnConfig.js';
import { float, graphBuilder, int, ints } from './graph.js';
import type { GraphBuilder, Value } from './graph.js';
import type { OnnxModel } from '../formats/onnx.js';

/** Pixels of the picture to a cell of the feature map. */
const stride = 16;

/** The graph's inputs and outputs, by what they are. */
export const ports = {
  /** The prepared picture, [1, 3, H, W]: blue, green, red. */
  image: 'image',
  /** Pixels of the original picture to one of the prepared: y, x. */
  scale: 'scale',
  boxes: 'boxes',
  features: 'features',
  objectIds: 'object_ids',
  objectConf: 'object_conf',
  attrIds: 'attr_ids',
  attrConf: 'attr_conf',
} as const;

/** Values inside of the graph that can be made outputs, to compare them with a reference step by step. */
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

export interface DetectorGraph {
  readonly model: OnnxModel;
  readonly objects: number;
  readonly attributes: number;
  readonly featureDim: number;
}

/**
 * The whole detector of transformers' `modeling_frcnn.py` as one graph: Faster R-CNN on a ResNet C4 trunk, with an
 * attribute head. Widths, depth and class counts are those of the weights.
 * @param withStages also gives the values of `stages` out
 * @throws BAD_DATA for weights that are missing or of other shapes
 */
export async function frcnnGraph(
  weights: DetectorWeights,
  config: FrcnnConfig,
  { withStages = false }: { readonly withStages?: boolean } = {},
): Promise<DetectorGraph> {
  const g = graphBuilder();
  const map = await trunk(g, weights, config);
  const [height, width] = sizesOf(g, ports.image);
  const limits = g.op('Concat', [width, height, width, height], { axis: int(1) });
  const proposals = await proposalsOf(g, weights, config, { map, limits });
  const features = await regionFeatures(g, weights, config, { map, proposals });
  const heads = await headsOf(g, weights, features);
  const kept = select(g, config, { ...heads, proposals, limits });
  const scale = g.op('Gather', [ports.scale, g.ints([1, 0, 1, 0])], { axis: int(0) });
  g.op('Mul', [gather(g, kept.boxes, kept.rows), scale], {}, ports.boxes);
  gather(g, features, kept.rows, ports.features);
  gather(g, kept.classes, kept.rows, ports.objectIds);
  gather(g, kept.scores, kept.rows, ports.objectConf);
  const [attrConf, attrIds] = bestOf(g, heads.attrScores);
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
  return {
    model: {
      name: 'faster_rcnn',
      nodes: g.nodes,
      weights: g.weights,
      inputs: [
        { name: ports.image, type: 'float32', dims: [1, 3, 'height', 'width'] },
        { name: ports.scale, type: 'float32', dims: [2] },
      ],
      outputs: withStages ? [...outputs, ...stages.map(stagePort)] : outputs,
    },
    objects: heads.objects,
    attributes: heads.attributes,
    featureDim: heads.featureDim,
  };
}

const stageRanks: Partial<Record<(typeof stages)[number], number>> = {
  stem: 4,
  res4: 4,
  'rpn.logits': 4,
  'rpn.deltas': 4,
  'roi.pooled': 4,
  'proposals.logits': 1,
  'final.proposal_ids': 1,
};

function stagePort(name: (typeof stages)[number]): OnnxModel['outputs'][number] {
  const dims = Array.from({ length: stageRanks[name] ?? 2 }, (_, axis) => `${name}.${axis}`);
  return { name, type: name.endsWith('_ids') ? 'int64' : 'float32', dims };
}

/** Height and width of a map [1, C, H, W], as numbers of the shape [1, 1]. */
function sizesOf(g: GraphBuilder, map: Value): [Value, Value] {
  const shape = g.op('Cast', [g.op('Shape', [map])], { to: int(1) });
  const size = (axis: number) =>
    g.op('Reshape', [g.op('Slice', [shape, g.ints([axis]), g.ints([axis + 1])]), g.ints([1, 1])]);
  return [size(2), size(3)];
}

interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
  readonly output?: string;
}

function conv(
  g: GraphBuilder,
  input: Value,
  name: string,
  { kernel, bias }: FoldedConv,
  { stride: step = 1, padding = 0, dilation = 1, groups = 1, output }: ConvOptions = {},
): Value {
  return g.op(
    'Conv',
    [input, g.weight(`${name}.weight`, kernel.shape, kernel.values), g.weight(`${name}.bias`, [bias.length], bias)],
    {
      strides: ints(step, step),
      pads: ints(padding, padding, padding, padding),
      dilations: ints(dilation, dilation),
      kernel_shape: ints(kernel.shape[2], kernel.shape[3]),
      group: int(groups),
    },
    output,
  );
}

/** Convolution stages up to res4: [1, C, H / 16, W / 16]. */
async function trunk(g: GraphBuilder, weights: DetectorWeights, { model, resnets }: FrcnnConfig): Promise<Value> {
  const name = 'backbone.stem.conv1';
  const stem = await foldedConv(weights, name, [-1, 3, 7, 7]);
  let map = g.op('Relu', [conv(g, ports.image, name, stem, { stride: 2, padding: 3 })]);
  const pad = model.max_pool ? 0 : 1;
  map = g.op(
    'MaxPool',
    [map],
    { kernel_shape: ints(3, 3), strides: ints(2, 2), pads: ints(pad, pad, pad, pad), ceil_mode: int(1 - pad) },
    'stem',
  );
  for (const [stage, step] of [
    ['res2', 1],
    ['res3', 2],
    ['res4', 2],
  ] as const)
    map = await residualStage(g, weights, `backbone.${stage}`, map, {
      step,
      dilation: 1,
      strideIn1x1: resnets.stride_in_1x1,
      output: stage,
    });
  return map;
}

interface StageOptions {
  readonly step: number;
  readonly dilation: number;
  readonly strideIn1x1: boolean;
  readonly output: string;
}

/** Bottleneck blocks, as many as there are weights of. */
async function residualStage(
  g: GraphBuilder,
  weights: DetectorWeights,
  stage: string,
  input: Value,
  { step: first, dilation, strideIn1x1, output }: StageOptions,
): Promise<Value> {
  let map = input;
  for (let block = 0; block === 0 || weights.has(`${stage}.${block}.conv1.weight`); block++) {
    const name = `${stage}.${block}`;
    const last = !weights.has(`${stage}.${block + 1}.conv1.weight`);
    const step = block === 0 ? first : 1;
    const conv1 = await foldedConv(weights, `${name}.conv1`, [-1, -1, 1, 1]);
    const width = conv1.kernel.shape[0];
    const conv2 = await foldedConv(weights, `${name}.conv2`, [width, -1, 3, 3]);
    const conv3 = await foldedConv(weights, `${name}.conv3`, [-1, width, 1, 1]);
    const a = g.op('Relu', [conv(g, map, `${name}.conv1`, conv1, { stride: strideIn1x1 ? step : 1 })]);
    const b = g.op('Relu', [
      conv(g, a, `${name}.conv2`, conv2, {
        stride: strideIn1x1 ? 1 : step,
        padding: dilation,
        dilation,
        groups: width / conv2.kernel.shape[1],
      }),
    ]);
    const c = conv(g, b, `${name}.conv3`, conv3);
    let shortcut = map;
    if (weights.has(`${name}.shortcut.weight`)) {
      const shape = [conv3.kernel.shape[0], conv1.kernel.shape[1], 1, 1];
      const folded = await foldedConv(weights, `${name}.shortcut`, shape);
      shortcut = conv(g, map, `${name}.shortcut`, folded, { stride: step });
    }
    map = g.op('Relu', [g.op('Add', [c, shortcut])], {}, last ? output : undefined);
  }
  return map;
}

/** A layer with a bias of its own. */
async function withBias(weights: DetectorWeights, name: string, shape: readonly number[]): Promise<FoldedConv> {
  const kernel = await weights.get(`${name}.weight`, shape);
  return { kernel, bias: (await weights.get(`${name}.bias`, [kernel.shape[0]])).values };
}

/** Boxes that may hold something, best first: [P, 4]. The top k come first, then clipping, empty boxes, suppression. */
async function proposalsOf(
  g: GraphBuilder,
  weights: DetectorWeights,
  { proposal_generator, anchor_generator, rpn }: FrcnnConfig,
  { map, limits }: { readonly map: Value; readonly limits: Value },
): Promise<Value> {
  const anchors = cellAnchors(anchor_generator.sizes[0], anchor_generator.aspect_ratios[0]);
  const name = 'proposal_generator.rpn_head';
  const hidden = await withBias(weights, `${name}.conv`, [-1, -1, 3, 3]);
  const width = hidden.kernel.shape[0];
  const objectness = await withBias(weights, `${name}.objectness_logits`, [anchors.length, width, 1, 1]);
  const anchorDeltas = await withBias(weights, `${name}.anchor_deltas`, [anchors.length * 4, width, 1, 1]);
  const t = g.op('Relu', [conv(g, map, `${name}.conv`, hidden, { padding: 1 })]);
  const logits = byAnchor(g, conv(g, t, `${name}.objectness_logits`, objectness, { output: 'rpn.logits' }), 1);
  const deltas = byAnchor(g, conv(g, t, `${name}.anchor_deltas`, anchorDeltas, { output: 'rpn.deltas' }), 4);
  const most = g.op('Min', [g.op('Shape', [logits]), g.ints([rpn.pre_nms_topk_test])]);
  const [topLogits, top] = g.op2('TopK', [logits, most], { axis: int(0), largest: int(1), sorted: int(1) });
  const moved = applyDeltas(
    g,
    gather(g, gridAnchors(g, map, anchors, stride), top),
    gather(g, deltas, top),
    rpn.bbox_reg_weights,
  );
  const clipped = clip(g, moved, limits);
  const filled = rowsLargerThan(g, clipped, proposal_generator.min_size);
  const boxes = gather(g, clipped, filled);
  const scores = gather(g, topLogits, filled);
  const kept = suppress(g, boxes, scores, rpn.post_nms_topk_test, rpn.nms_thresh);
  gather(g, scores, kept, 'proposals.logits');
  return gather(g, boxes, kept, 'proposals.boxes');
}

/** Features of regions: pooled from the map, res5, mean over cells: [P, F]. */
async function regionFeatures(
  g: GraphBuilder,
  weights: DetectorWeights,
  { roi_box_head: { pooler_resolution: size, res5halve }, resnets }: FrcnnConfig,
  { map, proposals }: { readonly map: Value; readonly proposals: Value },
): Promise<Value> {
  // Each region names its picture in front: the first and only.
  const rois = g.op('Pad', [proposals, g.ints([0, 1, 0, 0])]);
  const pooled = g.op(
    'MaxRoiPool',
    [map, rois],
    { pooled_shape: ints(size, size), spatial_scale: float(1 / stride) },
    'roi.pooled',
  );
  const res5 = await residualStage(g, weights, 'roi_heads.res5', pooled, {
    step: res5halve ? 2 : 1,
    dilation: res5halve ? 1 : 2,
    strideIn1x1: resnets.stride_in_1x1,
    output: 'res5',
  });
  return g.op('Flatten', [g.op('GlobalAveragePool', [res5])], { axis: int(1) }, 'head.mean_features');
}

interface Heads {
  /** Of all classes, the background last: [P, C + 1]. */
  readonly classScores: Value;
  /** [P, 4 × C], or [P, 4] for deltas that all classes share. */
  readonly boxDeltas: Value;
  readonly sharedDeltas: boolean;
  /** Without the background: [P, A]. */
  readonly attrScores: Value;
  readonly objects: number;
  readonly attributes: number;
  readonly featureDim: number;
}

async function headsOf(g: GraphBuilder, weights: DetectorWeights, features: Value): Promise<Heads> {
  const name = (part: string) => `roi_heads.box_predictor.${part}`;
  const layer = (input: Value, part: string, { kernel, bias }: FoldedConv, output?: string) =>
    g.op(
      'Gemm',
      [
        input,
        g.weight(`${name(part)}.weight`, kernel.shape, kernel.values),
        g.weight(`${name(part)}.bias`, [bias.length], bias),
      ],
      { transB: int(1) },
      output,
    );
  const cls = await withBias(weights, name('cls_score'), [-1, -1]);
  const [classes, width] = cls.kernel.shape;
  const deltas = await withBias(weights, name('bbox_pred'), [-1, width]);
  const objects = classes - 1;
  const sharedDeltas = deltas.kernel.shape[0] === 4;
  if (objects < 1 || (!sharedDeltas && deltas.kernel.shape[0] !== 4 * objects))
    throw new LxmertError(
      'BAD_DATA',
      `${weights.path}: '${name('bbox_pred')}.weight' has ${deltas.kernel.shape[0]} rows, '${name('cls_score')}.weight' ${classes}; ` +
        `expected ${4 * objects} or 4: four for each class but the background. Are the weights of another recipe?`,
    );
  const embedding: Weight = await weights.get(`${name('cls_embedding')}.weight`, [classes, -1]);
  const fcAttr = await withBias(weights, name('fc_attr'), [-1, width + embedding.shape[1]]);
  const attr = await withBias(weights, name('attr_score'), [-1, fcAttr.kernel.shape[0]]);
  const classLogits = layer(features, 'cls_score', cls, 'head.class_logits');
  const classScores = g.op('Softmax', [classLogits], { axis: int(1) }, 'head.class_scores');
  const boxDeltas = layer(features, 'bbox_pred', deltas, 'head.box_deltas');
  // The most likely class, also the background.
  const best = g.op('ArgMax', [classLogits], { axis: int(1), keepdims: int(0) });
  const table = g.weight(`${name('cls_embedding')}.weight`, embedding.shape, embedding.values);
  const joined = g.op('Concat', [features, gather(g, table, best)], { axis: int(1) });
  const attrLogits = layer(g.op('Relu', [layer(joined, 'fc_attr', fcAttr)]), 'attr_score', attr, 'head.attr_logits');
  const attrScores = g.op('Softmax', [allButLast(g, attrLogits)], { axis: int(1) }, 'head.attr_scores');
  const attributes = attr.kernel.shape[0] - 1;
  return { classScores, boxDeltas, sharedDeltas, attrScores, objects, attributes, featureDim: width };
}

/** The columns of [N, C] but the last: that of the background. */
const allButLast = (g: GraphBuilder, values: Value): Value =>
  g.op('Slice', [values, g.ints([0]), g.ints([-1]), g.ints([1])]);

/** The highest value of each row of [N, C], and its column: [N] each. */
function bestOf(g: GraphBuilder, values: Value): [Value, Value] {
  const highest = g.op('ReduceMax', [values, g.ints([1])], { keepdims: int(0) });
  return [highest, g.op('ArgMax', [values], { axis: int(1), keepdims: int(0) })];
}

interface Selection {
  /** The proposals that are kept, best first. */
  readonly rows: Value;
  /** Of all proposals: boxes moved as their class says, classes, scores. */
  readonly boxes: Value;
  readonly classes: Value;
  readonly scores: Value;
}

/**
 * One class for each proposal, one suppression over all of them: the thresholds are tried in turn until enough are left.
 * Where none leaves enough, those that the last one leaves come out.
 */
function select(
  g: GraphBuilder,
  { roi_heads, roi_box_head, min_detections, max_detections }: FrcnnConfig,
  heads: Heads & { readonly proposals: Value; readonly limits: Value },
): Selection {
  const [scores, classes] = bestOf(g, allButLast(g, heads.classScores));
  const deltas = heads.sharedDeltas
    ? heads.boxDeltas
    : g.op(
        'GatherND',
        [g.op('Reshape', [heads.boxDeltas, g.ints([-1, heads.objects, 4])]), g.op('Unsqueeze', [classes, g.ints([1])])],
        { batch_dims: int(1) },
      );
  const boxes = clip(g, applyDeltas(g, heads.proposals, deltas, roi_box_head.bbox_reg_weights), heads.limits);
  // Rows of each threshold, filled up with -1 to one length, so that they can be chosen from.
  const padded = roi_heads.nms_thresh_test.map((threshold) => {
    const rows = suppress(g, boxes, scores, max_detections, threshold);
    const filled = g.op('Concat', [rows, g.ints(new Array<number>(max_detections).fill(-1))], { axis: int(0) });
    const count = g.op('Shape', [rows]);
    return { rows: g.op('Slice', [filled, g.ints([0]), g.ints([max_detections])]), count };
  });
  const chosen = padded
    .slice(0, -1)
    .reduceRight(
      (otherwise, { rows, count }) =>
        g.op('Where', [g.op('GreaterOrEqual', [count, g.ints([min_detections])]), rows, otherwise]),
      padded[padded.length - 1].rows,
    );
  const real = g.op('Reshape', [g.op('NonZero', [g.op('GreaterOrEqual', [chosen, g.ints([0])])]), g.ints([-1])]);
  return { rows: gather(g, chosen, real, 'final.proposal_ids'), boxes, classes, scores };
}
