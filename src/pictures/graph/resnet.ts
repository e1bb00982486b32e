import type { DetectorWeights } from '../import/weight.js';
import type { GraphSettings } from '../import/settings.js';
import { float, int, ints } from '../../formats/onnxBuilder.js';
import type { GraphBuilder, Value } from '../../formats/onnxBuilder.js';
import { conv, foldedConv } from './layers.js';

/** The number of pixels of the picture that a cell of the feature map covers, along each axis. */
export const stride = 16;

/** Convolution stages up to res4: from the picture [1, 3, H, W] to [1, C, H / 16, W / 16]. */
export async function trunk(
  g: GraphBuilder,
  weights: DetectorWeights,
  { model, resnets }: GraphSettings,
  picture: Value,
): Promise<Value> {
  const name = 'backbone.stem.conv1';
  const stem = await foldedConv(weights, name, [-1, 3, 7, 7]);
  let map = g.op('Relu', [conv(g, picture, name, stem, { stride: 2, padding: 3 })]);
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

/**
 * Features of regions. Each region is pooled from the map, passes through res5, and is averaged over its cells.
 * @param map [1, C, H / 16, W / 16]
 * @param proposals [P, 4] in pixels of the prepared picture
 * @returns [P, F]
 */
export async function regionFeatures(
  g: GraphBuilder,
  weights: DetectorWeights,
  { roi_box_head: { pooler_resolution: size, res5halve }, resnets }: GraphSettings,
  { map, proposals }: { readonly map: Value; readonly proposals: Value },
): Promise<Value> {
  // The first column of a region is the number of its picture. There is only one picture, with the number 0.
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

interface StageOptions {
  readonly step: number;
  readonly dilation: number;
  readonly strideIn1x1: boolean;
  readonly output: string;
}

/** A stage of bottleneck blocks. The weights give the number of blocks. */
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
