import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelConfigSchema } from '../../src/config/modelConfig.js';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { writeTorchFile } from '../../src/formats/torchWriter.js';
import { pretrainParameters } from '../../src/pretrain/objective.js';
import { convertWeights } from '../../src/weights/index.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'volta-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const config = modelConfigSchema.parse({
  vocabSize: 9,
  hiddenSize: 4,
  numAttentionHeads: 2,
  intermediateSize: 3,
  lLayers: 3,
  rLayers: 2,
  xLayers: 2,
  maxPositionEmbeddings: 5,
  visualFeatDim: 3,
  numObjectLabels: 4,
  numAttrLabels: 3,
  numQaLabels: 2,
});

/** volta's names of a parameter, as its `conversions/convert_lxmert.py` makes them; shared weights have two names. */
function voltaNames(name: string): string[] {
  const sub = (text: string) =>
    text.replace('attention.self', 'attention_self').replace('attention.output', 'attention_output');
  const visual = (text: string) => text.replace(/\.(query|key|value|dense|LayerNorm)\./, '.v_$1.');
  const isLast = (text: string) => /\.(intermediate|output)\./.test(sub(text));
  const layer = /^lxmert\.encoder\.(layer|r_layers)\.(\d)\.(.*)$/.exec(name);
  if (layer) {
    const index = 2 * Number(layer[2]) + (isLast(`.${layer[3]}`) ? 1 : 0);
    const plain = `bert.encoder.layer.${index}.${sub(layer[3])}`;
    return [layer[1] === 'layer' ? plain : visual(plain)];
  }
  const cross =
    /^lxmert\.encoder\.x_layers\.(\d)\.(visual_attention|lang_self_att|visn_self_att|lang_inter|visn_inter|lang_output|visn_output)\.(.*)$/.exec(
      name,
    );
  if (cross) {
    const [, number, part, rest] = cross;
    const first = 2 * config.lLayers + 3 * Number(number);
    const at = (index: number, text: string) => `bert.encoder.layer.${index}.${text}`;
    if (part === 'visual_attention') {
      const text = at(first, rest.replace(/^att\./, 'attention_self.').replace(/^output\./, 'attention_output.'));
      return [text, visual(text)];
    }
    const own = part.startsWith('visn') ? visual : (text: string) => text;
    if (part.endsWith('self_att'))
      return [own(at(first + 1, rest.replace(/^self\./, 'attention_self.').replace(/^output\./, 'attention_output.')))];
    return [own(at(first + 2, `${part.endsWith('inter') ? 'intermediate' : 'output'}.${rest}`))];
  }
  return [
    name
      .replace('lxmert.encoder.visn_fc.visn_fc', 'bert.v_embeddings.image_embeddings')
      .replace('lxmert.encoder.visn_fc.visn_layer_norm', 'bert.v_embeddings.ImgLayerNorm')
      .replace('lxmert.encoder.visn_fc.box_fc', 'bert.v_embeddings.image_location_embeddings')
      .replace('lxmert.encoder.visn_fc.box_layer_norm', 'bert.v_embeddings.LocLayerNorm')
      .replace('lxmert.pooler', 'bert.t_pooler')
      .replace(/^lxmert\./, 'bert.')
      .replace('seq_relationship', 'bi_seq_relationship')
      .replace('answer_head', 'cls.qaPredictions')
      .replace('obj_predict_head', 'cls.imagePredictions')
      .replace('decoder_dict.obj', 'decoder_dict.3')
      .replace('decoder_dict.attr', 'decoder_dict.4')
      .replace('decoder_dict.feat', 'decoder_dict.5'),
  ];
}

/** A file in volta's layout in which every element of parameter i is i, and every element of its second copy i + `apart`. */
async function voltaFile(apart: number): Promise<string> {
  const path = join(await mkdtemp(join(folder, 'file-')), 'volta.bin');
  const specs = pretrainParameters(config).flatMap(({ name, shape }, i) =>
    voltaNames(name).map((voltaName, copy) => ({ name: voltaName, shape, value: i + copy * apart })),
  );
  await writeTorchFile(path, specs, 'F32', async function* (name) {
    const { shape, value } = specs.find((spec) => spec.name === name)!;
    yield new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value);
  });
  return path;
}

test("every parameter in volta's layout gets the right values", async () => {
  const to = join(folder, 'out');
  const report = await convertWeights(await voltaFile(0), to, { parametersOf: pretrainParameters, heads: 2 });
  expect(report).toMatchObject({ kind: 'pretraining', missing: [], unexpected: [], misshapen: [] });
  await using file = await SafetensorsFile.open(join(to, 'model.safetensors'));
  const specs = pretrainParameters(config);
  expect(file.entries.size).toBe(specs.length);
  for (const [i, { name, shape }] of specs.entries()) {
    expect(file.entry(name).shape).toEqual(shape);
    expect(new Set(await file.readFloat32(name))).toEqual(new Set([i]));
  }
});

test('a second copy of shared weights that differs is reported', async () => {
  const { notes } = await convertWeights(await voltaFile(0.5), join(folder, 'apart'), {
    parametersOf: pretrainParameters,
    heads: 2,
  });
  const differing = notes.filter((note) =>
    /v_(query|dense).* differs from lxmert\.encoder\.x_layers\.\d\.visual_att/.test(note),
  );
  expect(differing).toHaveLength(8);
});
