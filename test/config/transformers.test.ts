import { expect, test } from '@jest/globals';
import { modelConfigSchema } from '../../src/config/modelConfig.js';
import { fromTransformersJson, toTransformersJson } from '../../src/config/transformers.js';

const config = modelConfigSchema.parse({
  vocabSize: 101,
  hiddenSize: 64,
  numAttentionHeads: 2,
  hiddenDropoutProb: 0,
  initializerRange: 1,
  numQaLabels: 7,
});

test('goes to transformers and back', () => {
  expect(fromTransformersJson(toTransformersJson(config), 'f')).toEqual(config);
});

test('floats keep their decimal point, and the tasks are written', () => {
  const text = toTransformersJson(config, { on: ['matched', 'objects'], visualLosses: ['feat'] });
  expect(text).toContain('"hidden_dropout_prob": 0.0,');
  expect(text).toContain('"initializer_range": 1.0,');
  expect(text).toContain('"hidden_size": 64,');
  expect(JSON.parse(text)).toMatchObject({
    model_type: 'lxmert',
    num_qa_labels: 7,
    task_matched: true,
    task_mask_lm: false,
    task_qa: false,
    visual_obj_loss: false,
    visual_feat_loss: true,
  });
});

test('a key that is missing has the default of transformers', () => {
  const read = fromTransformersJson('{"hidden_size": 24, "num_attention_heads": 3, "bos_token_id": null}', 'f');
  expect(read).toMatchObject({ hiddenSize: 24, visualLossNormalizer: 6.67, numQaLabels: 9500 });
});

test.each<[string, string, RegExp]>([
  ['{', 'BAD_CONFIG', /f\.json: (line \d+: )?is not JSON/],
  ['3', 'BAD_CONFIG', /expected a JSON object/],
  ['{"model_type":"bert"}', 'UNSUPPORTED', /model_type is "bert"/],
  ['{"hidden_act":"relu"}', 'UNSUPPORTED', /hidden_act is "relu"/],
  ['{"hidden_size":"wide"}', 'BAD_CONFIG', /hidden_size: .*got "wide"/],
  ['{"hidden_size":7}', 'BAD_CONFIG', /num_attention_heads: .*multiple/],
  ['{"visual_pos_dim":5}', 'BAD_CONFIG', /visual_pos_dim/],
])('refuses %s', (text, code, message) => {
  let error: unknown;
  try {
    fromTransformersJson(text, 'f.json');
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
});
