/**
 * The layout of e-bug/volta, as in its `conversions/convert_lxmert.py`. Every sub-layer has a number. Language layer n has
 * the sub-layers 2n (attention) and 2n + 1 (feed-forward). Object layer n has the same two numbers, with `v_` before its
 * names. Cross layer n has three sub-layers: F + 3n (cross attention, whose weights both streams share), F + 3n + 1
 * (attention within each stream) and F + 3n + 2 (feed-forward). F is the number of the first cross sub-layer.
 */

interface VoltaName {
  readonly name: string;
  readonly copyOf?: string | undefined;
}

const outside: readonly (readonly [RegExp, string])[] = [
  [/^bert\.v_embeddings\.image_embeddings\./, 'lxmert.encoder.visn_fc.visn_fc.'],
  [/^bert\.v_embeddings\.ImgLayerNorm\./, 'lxmert.encoder.visn_fc.visn_layer_norm.'],
  [/^bert\.v_embeddings\.image_location_embeddings\./, 'lxmert.encoder.visn_fc.box_fc.'],
  [/^bert\.v_embeddings\.LocLayerNorm\./, 'lxmert.encoder.visn_fc.box_layer_norm.'],
  [/^bert\.t_pooler\./, 'lxmert.pooler.'],
  [/^bert\./, 'lxmert.'],
  [/^cls\.bi_seq_relationship\./, 'cls.seq_relationship.'],
  [/^cls\.qaPredictions\./, 'answer_head.'],
  [/^cls\.imagePredictions\.decoder_dict\.3\./, 'obj_predict_head.decoder_dict.obj.'],
  [/^cls\.imagePredictions\.decoder_dict\.4\./, 'obj_predict_head.decoder_dict.attr.'],
  [/^cls\.imagePredictions\.decoder_dict\.5\./, 'obj_predict_head.decoder_dict.feat.'],
  [/^cls\.imagePredictions\./, 'obj_predict_head.'],
];

const subLayer = /^bert\.encoder\.layer\.(\d+)\.(attention_self|attention_output|intermediate|output)\.(v_)?(.+)$/;

/** Returns transformers' name for each of volta's names, in order. Unknown names do not change. */
export function voltaNames(names: readonly string[]): readonly VoltaName[] {
  const first = firstCrossLayer(names);
  return names.map((name) => {
    const match = subLayer.exec(name);
    if (match) return inLayer(name, match, first);
    const rule = outside.find(([begin]) => begin.test(name));
    return { name: rule ? name.replace(rule[0], rule[1]) : name };
  });
}

/** Finds F. Before it, attention and feed-forward alternate; at F, one attention follows another. */
function firstCrossLayer(names: readonly string[]): number {
  const attentions = new Set(
    names.flatMap((name) => {
      const [, index, part] = subLayer.exec(name) ?? [];
      return part === 'attention_self' ? [Number(index)] : [];
    }),
  );
  const found = [...attentions].filter((index) => attentions.has(index + 1));
  return found.reduce((least, index) => Math.min(least, index), Infinity);
}

function inLayer(name: string, [, index, part, visual, rest]: RegExpExecArray, first: number): VoltaName {
  const number = Number(index);
  if (number < first) {
    const layers = visual ? 'r_layers' : 'layer';
    return { name: `lxmert.encoder.${layers}.${Math.floor(number / 2)}.${part.replace('_', '.')}.${rest}` };
  }
  const layer = `lxmert.encoder.x_layers.${Math.floor((number - first) / 3)}`;
  const stream = visual ? 'visn' : 'lang';
  switch ((number - first) % 3) {
    case 0: {
      const shared = `${layer}.visual_attention.${part === 'attention_self' ? 'att' : 'output'}.${rest}`;
      return visual ? { name, copyOf: shared } : { name: shared };
    }
    case 1:
      return { name: `${layer}.${stream}_self_att.${part === 'attention_self' ? 'self' : 'output'}.${rest}` };
    default:
      return { name: `${layer}.${stream}_${part === 'intermediate' ? 'inter' : 'output'}.${rest}` };
  }
}
