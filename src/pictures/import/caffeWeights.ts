import { LxmertError } from '../../errors.js';
import { readCaffeLayers } from '../../formats/caffemodel.js';
import type { CaffeLayer } from '../../formats/caffemodel.js';
import { RegularFile } from '../../formats/regularFile.js';
import { shown } from '../../formats/shown.js';
import { isFolderThere } from '../../weights/index.js';
import { epsilon } from './weight.js';
import type { NamedWeight } from './weight.js';

/** Layers with a kernel and a bias: from Caffe's name to detectron2's name. */
const layers: Readonly<Record<string, string>> = {
  'rpn_conv/3x3': 'proposal_generator.rpn_head.conv',
  rpn_cls_score: 'proposal_generator.rpn_head.objectness_logits',
  rpn_bbox_pred: 'proposal_generator.rpn_head.anchor_deltas',
  cls_score: 'roi_heads.box_predictor.cls_score',
  bbox_pred: 'roi_heads.box_predictor.bbox_pred',
  cls_embedding: 'roi_heads.box_predictor.cls_embedding',
  fc_attr: 'roi_heads.box_predictor.fc_attr',
  attr_score: 'roi_heads.box_predictor.attr_score',
};

const branches: Readonly<Record<string, string>> = { '1': 'shortcut', '2a': 'conv1', '2b': 'conv2', '2c': 'conv3' };

/** Matches for example `4b22_branch2a`: stage, block, branch. A block is a letter, or the letter b and a number. */
const placePattern = /^([2-5])([a-z])(\d*)_branch(1|2a|2b|2c)$/;

/** detectron2's name of a convolution. `place` is the part of Caffe's name after `res`, `bn` or `scale`. */
function convolution(place: string): string | undefined {
  if (place === '_conv1' || place === 'conv1') return 'backbone.stem.conv1';
  const match = placePattern.exec(place);
  if (!match) return undefined;
  const [, stage, letter, number, branch] = match;
  const block = number === '' ? letter.charCodeAt(0) - 'a'.charCodeAt(0) : Number(number);
  const room = stage === '5' ? 'roi_heads' : 'backbone';
  return `${room}.res${stage}.${block}.${branches[branch]}`;
}

/**
 * The tensors of a `.caffemodel` of bottom-up-attention. The names are detectron2's, but the values keep Caffe's order:
 * the background is the first class, and each anchor has two scores.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for a file that is damaged, of another form or of another detector
 */
export async function readCaffeWeights(path: string): Promise<ReadonlyMap<string, NamedWeight>> {
  await refuseOtherForms(path);
  const known = new Map<string, NamedWeight>();
  for (const layer of await readCaffeLayers(path))
    for (const [name, weight] of tensorsOf(layer, path)) known.set(name, weight);
  return known;
}

/** Throws BAD_DATA for weights of another recipe, which are not a `.caffemodel`. The message names the right recipe. */
async function refuseOtherForms(path: string): Promise<void> {
  const belongs = 'expected a .caffemodel; these weights belong to the recipe transformers or d2';
  if (await isFolderThere(path)) throw new LxmertError('BAD_DATA', `${path}: it is a folder; ${belongs}`);
  const file = await RegularFile.open(path);
  try {
    const head = Buffer.from(await file.read(0, Math.min(file.size, 9))).toString('latin1');
    const other = head.startsWith('\x80') || head.startsWith('PK') || head.slice(4, 9) === '\0\0\0\0{';
    if (other) throw new LxmertError('BAD_DATA', `${path}: it is a file of torch, numpy or safetensors; ${belongs}`);
  } finally {
    await file.close();
  }
}

function tensorsOf(layer: CaffeLayer, path: string): [string, NamedWeight][] {
  const { name, blobs } = layer;
  const part = (to: string, at: number, read?: (values: Float32Array) => Float32Array): [string, NamedWeight][] => {
    const blob = blobs[at] as CaffeLayer['blobs'][number] | undefined;
    if (!blob) return [];
    const nameInFile = `${name}, blob ${at}`;
    return [[to, { shape: blob.shape, nameInFile, read: async () => (read ? read(blob.values) : blob.values) }]];
  };
  const to = layers[name] as string | undefined;
  if (to !== undefined) return [...part(`${to}.weight`, 0), ...part(`${to}.bias`, 1)];
  const [, kind, place] = /^(res|bn|scale|)(.*)$/.exec(name)!;
  const conv = convolution(place);
  if (conv === undefined) return [];
  if (kind === 'bn') {
    if (Math.abs(layer.epsilon - epsilon) > 1e-8)
      throw new LxmertError(
        'BAD_DATA',
        `${path}: the batch norm ${shown(name)} has an eps of ${layer.epsilon}; expected ${epsilon}`,
      );
    // The first two blobs are sums of a moving average, and the third blob is the weight by which they must be divided.
    const weigh = blobs.length > 2 ? blobs[2].values[0] : 1;
    const average = (values: Float32Array) => values.map((value) => (weigh === 0 ? 0 : value / weigh));
    return [...part(`${conv}.norm.running_mean`, 0, average), ...part(`${conv}.norm.running_var`, 1, average)];
  }
  if (kind === 'scale') return [...part(`${conv}.norm.weight`, 0), ...part(`${conv}.norm.bias`, 1)];
  return part(`${conv}.weight`, 0);
}
