import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '../config/modelConfig.js';
import { fromTransformersJson } from '../config/transformers.js';
import { batchOf, type Batch } from '../data/batches/batch.js';
import { packTargets } from '../data/batches/packTargets.js';
import { LxmertError } from '../errors.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { SafetensorsFile } from '../formats/safetensors.js';

/**
 * A batch of a fixture. In the fixture the batch is padded, as transformers needs it. In this structure the real rows
 * are packed.
 */
export interface FixtureBatch {
  readonly batch: Batch;
  /** The same batch with a label for every real row, so that all logits are computed. The labels have no meaning. */
  readonly everywhere: Batch;
  /** B, T, N: samples, padded tokens, padded objects. */
  readonly samples: number;
  readonly tokens: number;
  readonly objects: number;
  /** For each packed row: its index in the padded [B × T] or [B × N]. */
  readonly tokenRows: Int32Array;
  readonly objectRows: Int32Array;
}

/** The optimizer steps of `trajectory.json`: the loss before each step, and after the last one. */
export interface Trajectory {
  readonly optimizer: {
    readonly lr: number;
    readonly warmup: number;
    readonly t_total: number;
    readonly b1: number;
    readonly b2: number;
    readonly eps: number;
    readonly weight_decay: number;
    readonly max_grad_norm: number;
  };
  readonly total_loss: readonly number[];
  /** Gradient norm before clipping at each step. */
  readonly grad_norm?: readonly number[];
  /** Parameters that must not change. */
  readonly no_gradient?: readonly string[];
}

/** A parity fixture: one batch, with the results of another implementation of LXMERT. */
export interface Fixture {
  readonly folder: string;
  readonly config: ModelConfig;
  readonly batch: FixtureBatch;
  readonly model: SafetensorsFile;
  readonly expected: SafetensorsFile;
  readonly trajectory: Trajectory | null;
  /** Pictures of one question, for a reference that was fine-tuned; absent for a reference of pre-training. */
  readonly pictures?: 1 | 2 | undefined;
  /** Some of the weights after the trajectory. */
  readonly after?: SafetensorsFile | undefined;
}

/** @throws LxmertError that names the file, and the tensor or key that is missing or malformed */
export async function openFixture(folder: string): Promise<Fixture> {
  const configFile = join(folder, 'config.json');
  const config = fromTransformersJson(await readText(configFile), configFile);
  const opened: SafetensorsFile[] = [];
  const file = async (name: string): Promise<SafetensorsFile> => {
    const one = await SafetensorsFile.open(join(folder, name));
    opened.push(one);
    return one;
  };
  try {
    const model = await file('model.safetensors');
    const expected = await file('expected.safetensors');
    const inputs = await file('batch.safetensors');
    const pictures = picturesOf(inputs);
    const batch = await (pictures ? packQuestions(inputs, config, pictures) : packBatch(inputs, config));
    const trajectory = await trajectoryOf(folder);
    await inputs.close();
    const after =
      trajectory && existsSync(join(folder, 'after.safetensors')) ? await file('after.safetensors') : undefined;
    return { folder, config, batch, model, expected, trajectory, pictures, after };
  } catch (error) {
    for (const one of opened) await one.close();
    throw error;
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

async function trajectoryOf(folder: string): Promise<Trajectory | null> {
  const path = join(folder, 'trajectory.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw fileError(error, 'read', path);
  }
  const bad = (why: string): LxmertError => new LxmertError('BAD_DATA', `${path}: ${why}`);
  let value: Partial<Trajectory>;
  try {
    value = JSON.parse(text) as Partial<Trajectory>;
  } catch (error) {
    throw bad(`it is not JSON: ${(error as Error).message}`);
  }
  const keys = ['lr', 'warmup', 't_total', 'b1', 'b2', 'eps', 'weight_decay', 'max_grad_norm'] as const;
  for (const key of keys)
    if (typeof value.optimizer?.[key] !== 'number') throw bad(`optimizer.${key} is missing or not a number`);
  const losses = value.total_loss;
  if (!Array.isArray(losses) || losses.length < 2 || !losses.every((loss) => typeof loss === 'number'))
    throw bad('total_loss is not a list of at least two numbers');
  return value as Trajectory;
}

/** Reads tensors whose shape is known. */
function readerOf(file: SafetensorsFile) {
  const expectShape = (name: string, shape: readonly number[]): void => {
    const given = file.entry(name).shape;
    if (given.length !== shape.length || given.some((n, i) => n !== shape[i]))
      throw new LxmertError(
        'BAD_DATA',
        `${file.path}: tensor '${name}' is [${given.join(', ')}], expected [${shape.join(', ')}]`,
      );
  };
  const ints = (name: string, ...shape: number[]): Promise<Int32Array> => {
    expectShape(name, shape);
    return file.readInt32(name);
  };
  const floats = (name: string, ...shape: number[]): Promise<Float32Array> => {
    expectShape(name, shape);
    return file.readFloat32(name);
  };
  return { ints, floats };
}

/** Packs the real rows of padded tensors. */
async function packBatch(file: SafetensorsFile, config: ModelConfig): Promise<FixtureBatch> {
  const shapeOf = (name: string): readonly number[] => file.entry(name).shape;
  const { ints, floats } = readerOf(file);
  const [samples, tokens] = shapeOf('input_ids');
  const objects = shapeOf('visual_feats')[1];
  const featureDim = config.visualFeatDim;
  const ids = await ints('input_ids', samples, tokens);
  const tokenMask = await floats('attention_mask', samples, tokens);
  const labels = await ints('labels', samples, tokens);
  if ((await ints('token_type_ids', samples, tokens)).some((type) => type !== 0))
    throw new LxmertError('UNSUPPORTED', `${file.path}: tensor 'token_type_ids' is not all 0, as LXMERT needs it`);
  const objectMask = await floats('visual_attention_mask', samples, objects);
  const feats = await floats('visual_feats', samples, objects, featureDim);
  const targets = await floats('feat_targets', samples, objects, featureDim);
  const featMask = await floats('feat_mask', samples, objects);
  const pos = await floats('visual_pos', samples, objects, 4);
  const objLabels = await ints('obj_labels', samples, objects);
  const objConfs = await floats('obj_conf', samples, objects);
  const attrLabels = await ints('attr_labels', samples, objects);
  const attrConfs = await floats('attr_conf', samples, objects);
  const matched = await ints('matched_label', samples);
  const answers = (await ints('ans', samples)).map((answer) => (answer < 0 ? -1 : answer));

  const tokenRows = realRows(tokenMask);
  const objectRows = realRows(objectMask);
  tokenRows.forEach((row) => {
    if (row % tokens > 0 && tokenMask[row - 1] === 0)
      throw new LxmertError(
        'UNSUPPORTED',
        `${file.path}: tensor 'attention_mask' has a hole in sample ${Math.floor(row / tokens)}`,
      );
  });
  const maskedTokenRows = indicesOf(tokenRows, (row) => labels[row] >= 0);
  const maskedObjectRows = indicesOf(objectRows, (row) => featMask[row] !== 0);
  const common = {
    sampleIds: Array.from({ length: samples }, (_, s) => `sample ${s}`),
    tokenIds: pick(ids, tokenRows, 1),
    tokenOffsets: offsetsOf(tokenRows, samples, tokens),
    objectOffsets: offsetsOf(objectRows, samples, objects),
    visualFeats: pick(feats, objectRows, featureDim),
    visualPos: pick(pos, objectRows, 4),
    objectLabels: pick(objLabels, objectRows, 1),
    objectConfs: pick(objConfs, objectRows, 1),
    attributeLabels: pick(attrLabels, objectRows, 1),
    attributeConfs: pick(attrConfs, objectRows, 1),
    matched,
    answers,
  };
  const rowsOf = (rows: Int32Array, at: Int32Array): Int32Array => at.map((i) => rows[i]);
  return {
    samples,
    tokens,
    objects,
    tokenRows,
    objectRows,
    batch: batchOf({
      ...common,
      maskedTokenRows,
      maskedTokenLabels: pick(labels, rowsOf(tokenRows, maskedTokenRows), 1),
      maskedObjectRows,
      featureTargets: pick(targets, rowsOf(objectRows, maskedObjectRows), featureDim),
    }),
    everywhere: batchOf({
      ...common,
      maskedTokenRows: tokenRows.map((_, i) => i),
      maskedTokenLabels: new Int32Array(tokenRows.length),
      maskedObjectRows: objectRows.map((_, i) => i),
      featureTargets: pick(targets, objectRows, featureDim),
    }),
  };
}

/** Pictures of one question of a fine-tuning batch; undefined for a batch of pre-training. */
function picturesOf({ entries }: SafetensorsFile): 1 | 2 | undefined {
  if (!entries.has('target') && !entries.has('label')) return undefined;
  return entries.get('visual_feats')?.shape.length === 4 ? 2 : 1;
}

/**
 * Packs a batch of questions, which has `target` [B, answers] or `label` [B]. With two pictures, features are [B, 2, N, F],
 * and each sentence is packed twice.
 */
async function packQuestions(file: SafetensorsFile, config: ModelConfig, pictures: 1 | 2): Promise<FixtureBatch> {
  const { ints, floats } = readerOf(file);
  const [questions, tokens] = file.entry('input_ids').shape;
  const objects = file.entry('visual_feats').shape.at(-2) ?? 0;
  const { visualFeatDim, numQaLabels } = config;
  const samples = questions * pictures;
  const perPicture = pictures === 1 ? [questions, objects] : [questions, pictures, objects];
  const repeated = <T extends Int32Array | Float32Array>(values: T): T =>
    pick(
      values,
      Int32Array.from({ length: samples }, (_, s) => Math.floor(s / pictures)),
      tokens,
    );
  const ids = repeated(await ints('input_ids', questions, tokens));
  const tokenRows = realRows(repeated(await floats('attention_mask', questions, tokens)));
  const objectRows = realRows(await floats('visual_attention_mask', ...perPicture));
  const feats = await floats('visual_feats', ...perPicture, visualFeatDim);
  const pos = await floats('visual_pos', ...perPicture, 4);
  const target = file.entries.has('target')
    ? await floats('target', questions, numQaLabels)
    : oneHot(await ints('label', questions), numQaLabels);
  const targets = Array.from({ length: questions }, (_, q) =>
    Array.from(target.subarray(q * numQaLabels, (q + 1) * numQaLabels), (score, id) => ({ id, score })).filter(
      ({ score }) => score > 0,
    ),
  );
  const batch: Batch = {
    ...batchOf({
      sampleIds: Array.from({ length: samples }, (_, s) => `sample ${s}`),
      tokenIds: pick(ids, tokenRows, 1),
      tokenOffsets: offsetsOf(tokenRows, samples, tokens),
      objectOffsets: offsetsOf(objectRows, samples, objects),
      visualFeats: pick(feats, objectRows, visualFeatDim),
      visualPos: pick(pos, objectRows, 4),
    }),
    pictures,
    ...packTargets(targets),
  };
  return { samples, tokens, objects, tokenRows, objectRows, batch, everywhere: batch };
}

function oneHot(labels: Int32Array, classes: number): Float32Array {
  const target = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => {
    if (label >= 0) target[row * classes + label] = 1;
  });
  return target;
}

function realRows(mask: Float32Array): Int32Array {
  return Int32Array.from(Array.from(mask, (value, row) => (value === 0 ? -1 : row)).filter((row) => row >= 0));
}

function indicesOf(rows: Int32Array, wanted: (row: number) => boolean): Int32Array {
  return Int32Array.from(Array.from(rows, (row, i) => (wanted(row) ? i : -1)).filter((i) => i >= 0));
}

function offsetsOf(rows: Int32Array, samples: number, padded: number): Int32Array {
  const offsets = new Int32Array(samples + 1);
  for (const row of rows) offsets[Math.floor(row / padded) + 1]++;
  for (let s = 0; s < samples; s++) offsets[s + 1] += offsets[s];
  return offsets;
}

/** Copies rows of `width` values. */
function pick<T extends Int32Array | Float32Array>(values: T, rows: Int32Array, width: number): T {
  const picked = new (values.constructor as new (n: number) => T)(rows.length * width);
  rows.forEach((row, i) => picked.set(values.subarray(row * width, (row + 1) * width), i * width));
  return picked;
}
