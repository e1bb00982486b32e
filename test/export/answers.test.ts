/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Tensor } from 'onnxruntime-node';
import { packSamples } from '../../src/data/batches/packSamples.js';
import { exportOnnx } from '../../src/export/index.js';
import { finetune, openModel } from '../../src/finetune/index.js';
import { InferenceModel } from '../../src/finetune/inference.js';
import { readOnnxMetadata } from '../../src/formats/onnx.js';
import { createRandom } from '../../src/scenes/random.js';
import { WordPiece } from '../../src/text/wordPiece.js';
import { questionScenes, smallModel } from '../finetune/questionScenes.js';
import { floatsOf, furthest, modelOf, run, type Feeds } from './support.js';

jest.setTimeout(240_000);

/** The outputs of exported graphs in onnxruntime are those of the same model in lxmert. */
const engine = { device: 'cpu', threads: 1 } as const;
const random = createRandom(5);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lxmert-export-answers-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface RandomSample {
  readonly tokenIds: Int32Array;
  /** One or two pictures. */
  readonly pictures: readonly { readonly features: Float32Array; readonly boxes: Float32Array }[];
}

/** Random features and boxes of a number of objects. */
function pictureOf(objects: number, width: number): RandomSample['pictures'][number] {
  const boxes = Array.from({ length: objects }, () => [random.uniform() / 2, random.uniform() / 2, 0.6, 0.9]).flat();
  return {
    features: Float32Array.from({ length: objects * width }, () => 2 * random.uniform() - 1),
    boxes: Float32Array.from(boxes),
  };
}

/** Samples with different numbers of tokens and objects as padded inputs of a graph. The padding is not zero. */
function feedsOf(samples: readonly RandomSample[], width: number): Feeds {
  const pictures = samples.flatMap((sample) => sample.pictures);
  const tokens = Math.max(...samples.map(({ tokenIds }) => tokenIds.length));
  const objects = Math.max(...pictures.map(({ boxes }) => boxes.length / 4));
  const whole = (rows: readonly Int32Array[], filling: number) =>
    BigInt64Array.from(rows.flatMap((row) => Array.from({ length: tokens }, (_, i) => BigInt(row[i] ?? filling))));
  const floats = (rows: readonly Float32Array[], each: number) =>
    Float32Array.from(rows.flatMap((row) => Array.from({ length: objects * each }, (_, i) => row[i] ?? 0.25)));
  const mask = BigInt64Array.from(
    pictures.flatMap(({ boxes }) => Array.from({ length: objects }, (_, i) => (4 * i < boxes.length ? 1n : 0n))),
  );
  const sentence = [samples.length, tokens];
  const seen = [samples.length, ...(samples[0].pictures.length === 2 ? [2] : []), objects];
  const ids = samples.map(({ tokenIds }) => tokenIds);
  return {
    input_ids: new Tensor('int64', whole(ids, 1), sentence),
    attention_mask: new Tensor(
      'int64',
      whole(
        ids.map((row) => row.map(() => 1)),
        0,
      ),
      sentence,
    ),
    token_type_ids: new Tensor('int64', new BigInt64Array(samples.length * tokens), sentence),
    visual_feats: new Tensor(
      'float32',
      floats(
        pictures.map(({ features }) => features),
        width,
      ),
      [...seen, width],
    ),
    visual_pos: new Tensor(
      'float32',
      floats(
        pictures.map(({ boxes }) => boxes),
        4,
      ),
      [...seen, 4],
    ),
    visual_attention_mask: new Tensor('int64', mask, seen),
  };
}

test('logits, matching and hidden states of samples with 1 to 40 objects', async () => {
  const [width, words, hidden] = [10, 31, 24];
  const samples = [1, 2, 7, 40].map((objects, i) => ({
    tokenIds: Int32Array.from({ length: 2 + 3 * i }, () => 1 + random.integer(words - 1)),
    pictures: [pictureOf(objects, width)],
  }));
  const feeds = feedsOf(samples, width);
  const path = modelOf('tiny', folder);
  const model = await InferenceModel.open(path, { engine });
  try {
    const batch = packSamples(
      samples.map(({ tokenIds, pictures }, i) => ({ id: String(i), tokenIds, ...pictures[0] })),
    );
    const heads = await run((await exportOnnx(path, { out: join(folder, 'heads.onnx') })).out, feeds);
    expect(furthest(floatsOf(heads.logits), await model.answer(batch))).toBeLessThan(1e-4);
    expect(furthest(floatsOf(heads.cross_relationship_score), await model.match(batch))).toBeLessThan(1e-4);
    const ours = await model.hiddenStates(batch);
    const states = await run(
      (await exportOnnx(path, { out: join(folder, 'states.onnx'), task: 'encoder' })).out,
      feeds,
    );
    expect(furthest(floatsOf(states.pooled_output), ours.pooled)).toBeLessThan(1e-4);
    const real = ({ data }: Tensor, mask: Tensor): Float32Array =>
      (data as Float32Array).filter((_, i) => (mask.data as BigInt64Array)[Math.floor(i / hidden)] === 1n);
    expect(furthest(real(states.language_output, feeds.attention_mask), ours.language)).toBeLessThan(1e-4);
    expect(furthest(real(states.vision_output, feeds.visual_attention_mask), ours.vision)).toBeLessThan(1e-4);
  } finally {
    await model.dispose();
  }
});

test.each(['vqa', 'nlvr2'] as const)(
  '%s: a program that has only the graph and its metadata gives our answers',
  async (task) => {
    const data = await questionScenes(join(folder, `data-${task}`), 12);
    const flags = {
      data,
      out: join(folder, task),
      task,
      train: 'train',
      valid: 'none',
      'max-steps': '3',
      'batch-size': '8',
    };
    await finetune({ sources: { flags: { ...smallModel, ...flags, lr: '1e-2', ...engine, threads: '1' } } });
    const { out, task: exported } = await exportOnnx(join(folder, task), { out: join(folder, `${task}.onnx`) });
    expect(exported).toBe(task);

    const metadata = await readOnnxMetadata(out);
    const answers = JSON.parse(metadata['lxmert.answers']) as string[];
    const { maxTokens } = JSON.parse(metadata['lxmert.tokenizer']) as { maxTokens: number };
    const { width } = JSON.parse(metadata['lxmert.features']) as { width: number };
    const wordPiece = await WordPiece.load();
    expect(metadata['lxmert.vocabulary'].split('\n').slice(0, -1)).toEqual(wordPiece.pieces);

    const questions = ['is it red?', 'how many large blue squares are to the left of the other thing?', 'what?'];
    const samples = questions.map((question, i) => ({
      tokenIds: wordPiece.encode(question, maxTokens),
      pictures: (task === 'vqa' ? [3 + i] : [2 + i, 9 - i]).map((objects) => pictureOf(objects, width)),
    }));
    const logits = floatsOf((await run(out, feedsOf(samples, width))).logits);
    await using model = await openModel(join(folder, task), engine);
    expect(model.answers).toEqual(answers);
    const ours = await model.answerAll(
      samples.map(({ pictures: [one, other] }, i) => ({ question: questions[i], picture: other ? [one, other] : one })),
      { top: answers.length },
    );
    const rows = samples.map((_, i) => logits.slice(i * answers.length, (i + 1) * answers.length));
    for (const [i, row] of rows.entries()) {
      const powers = row.map(Math.exp);
      const sum = powers.reduce((a, b) => a + b, 0);
      const softmax = metadata['lxmert.probabilities'] === 'softmax';
      expect(softmax).toBe(task === 'nlvr2');
      for (const { answer, probability } of ours[i]) {
        const power = powers[answers.indexOf(answer)];
        expect(Math.abs((softmax ? power / sum : power / (1 + power)) - probability)).toBeLessThan(1e-4);
      }
    }
  },
);
