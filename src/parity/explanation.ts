import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packSamples, samplesOf } from '../data/batches/packSamples.js';
import type { EngineOptions } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import {
  meanRelevance,
  rawAttention,
  relevancy,
  rollout,
  scaled,
  type LayerAttention,
  type SampleAttention,
} from '../explain/index.js';
import { explainBatch, type ExplainedAnswer } from '../finetune/explainBatch.js';
import { InferenceModel } from '../finetune/inference.js';
import { SafetensorsFile } from '../formats/safetensors.js';
import { fileError } from '../formats/fileErrors.js';
import { compareRows, type Comparison, type Kind } from './compare.js';
import { openFixture } from './fixture.js';

const listFile = 'explain.json';

/** Whether a folder contains a fixture of explanations. */
export const isExplanation = (folder: string): boolean => existsSync(join(folder, listFile));

/** An explained row of the batch. */
interface Example {
  /** The first part of the names of the tensors of this example. */
  readonly example: number | string;
  readonly row: number;
  readonly answer: number;
  /** Number of layers of the vision stream. Default: the number in the model's configuration. */
  readonly r_layers?: number;
}

/**
 * Compares explanations with those of a reference. The model and the batch are in `folder`, or in the folder
 * `finetune-vqa` beside it.
 * @throws LxmertError that names the file, and the tensor or key that is missing or malformed
 */
export async function compareExplanations(folder: string, engine: EngineOptions): Promise<Comparison[]> {
  const home = existsSync(join(folder, 'model.safetensors')) ? folder : join(folder, '..', 'finetune-vqa');
  const { batch, model: weights, expected: outputs, after } = await openFixture(home);
  for (const file of [weights, outputs, after]) await file?.close();
  const comparisons: Comparison[] = [];
  const samples = samplesOf(batch.batch);
  // For each number of vision layers, a separate model is opened.
  const examples = await readExamples(join(folder, listFile), batch.samples);
  for (const rLayers of new Set(examples.map(({ r_layers }) => r_layers))) {
    const own = examples.filter(({ r_layers }) => r_layers === rLayers);
    const file = rLayers === undefined ? 'expected' : `expected-${own[0].example}`;
    const expected = await SafetensorsFile.open(join(folder, `${file}.safetensors`));
    const layers = rLayers === undefined ? {} : { rLayers };
    const model = await InferenceModel.open(home, { engine, layers });
    try {
      const rows = own.map(({ row }) => row);
      const explained = await explainBatch(
        model,
        packSamples(rows.map((row) => samples[row])),
        own.map(({ answer }) => answer),
      );
      for (const [i, { example }] of own.entries()) {
        const prefix = rLayers === undefined ? `${example}.` : '';
        comparisons.push(...(await compareExample(expected, prefix, explained[i])));
      }
    } finally {
      await model.dispose();
      await expected.close();
    }
  }
  return comparisons;
}

async function readExamples(path: string, samples: number): Promise<readonly Example[]> {
  const bad = (why: string): LxmertError => new LxmertError('BAD_DATA', `${path}: ${why}`);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  let value: { readonly examples?: readonly Partial<Example>[] };
  try {
    value = JSON.parse(text) as typeof value;
  } catch (error) {
    throw bad(`it is not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(value.examples) || value.examples.length === 0) throw bad('examples is not a list of examples');
  value.examples.forEach(({ example, row, answer }, i) => {
    if (example === undefined) throw bad(`examples[${i}].example is missing`);
    if (!Number.isInteger(row) || row! < 0 || row! >= samples)
      throw bad(`examples[${i}].row is ${row}; expected a row of the batch, 0 to ${samples - 1}`);
    if (!Number.isInteger(answer)) throw bad(`examples[${i}].answer is ${answer}; expected a row of the answer head`);
  });
  return value.examples as readonly Example[];
}

/** Compares all values of one example that the reference file contains. */
async function compareExample(
  file: SafetensorsFile,
  prefix: string,
  { logits, attention }: ExplainedAnswer,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  const compare = async (kind: Kind, name: string, ours: ArrayLike<number>): Promise<void> => {
    if (!file.entries.has(prefix + name)) return;
    const theirs = await file.readFloat32(prefix + name);
    comparisons.push(compareRows(kind, prefix + name, Float32Array.from(ours), theirs, null, 1));
  };
  await compare('outputs', 'logits', logits);
  for (const [name, layer] of layersOf(attention)) {
    await compare('attention maps', `attention.${name}`, withoutPadding(layer, layer.attention));
    await compare('gradients', `gradient.${name}`, withoutPadding(layer, layer.gradient!));
    await compare('relevancy', `mean.${name}`, meanRelevance(layer).values);
  }
  const steps: [name: string, values: Float64Array][] = [];
  const scores = relevancy(attention, (step, { tt, tv, vt, vv }) => {
    const parts = { tt, ti: tv, it: vt, ii: vv };
    for (const [part, { values }] of Object.entries(parts)) steps.push([`R.${step}.${part}`, values]);
  });
  for (const [name, values] of steps) await compare('relevancy', name, values);
  const methods = { '': scores, 'other.raw_attn.': rawAttention(attention), 'other.rollout.': rollout(attention) };
  for (const [name, { words, boxes }] of Object.entries(methods)) {
    await compare('scores', `${name}words`, words);
    await compare('scores', `${name}boxes`, boxes);
  }
  await compare('scores', 'words.scaled', scaled(scores.words));
  await compare('scores', 'boxes.scaled', scaled(scores.boxes));
  return comparisons;
}

function layersOf({ language, vision, cross }: SampleAttention): [name: string, layer: LayerAttention][] {
  const numbered = (kind: string, layers: readonly (LayerAttention | undefined)[]) =>
    layers.flatMap((layer, i): [string, LayerAttention][] => (layer ? [[`${kind}.${i}`, layer]] : []));
  return [
    ...numbered('language', language),
    ...numbered('vision', vision),
    ...numbered(
      'cross_lang_to_vision',
      cross.map((layer) => layer.languageToVision),
    ),
    ...numbered(
      'cross_vision_to_lang',
      cross.map((layer) => layer.visionToLanguage),
    ),
    ...numbered(
      'cross_self_language',
      cross.map((layer) => layer.language),
    ),
    ...numbered(
      'cross_self_vision',
      cross.map((layer) => layer.vision),
    ),
  ];
}

/** The values of a layer without the padding of its rows: [heads × queries × keys]. */
function withoutPadding({ heads, queries, keys, start, headStride, rowStride }: LayerAttention, values: Float32Array) {
  const own: number[] = [];
  for (let h = 0; h < heads; h++)
    for (let q = 0; q < queries; q++)
      for (let k = 0; k < keys; k++) own.push(values[start + h * headStride + q * rowStride + k]);
  return own;
}
