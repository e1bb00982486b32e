import type { EngineOptions, Precision, Tape, Tensor } from '../engine/index.js';
import type { AttentionMaps } from '../model/encoder.js';
import { lossNames, plainSum, type LossName } from '../pretrain/losses.js';
import { Pretrainer } from '../pretrain/pretrainer.js';
import type { ModelOptions } from '../step/trainableModel.js';
import {
  compareRows,
  explanationKinds,
  kinds,
  worstOf,
  type Comparison,
  type Kind,
  type KindReport,
} from './compare.js';
import { compareExplanations, isExplanation } from './explanation.js';
import { openFixture, type Fixture } from './fixture.js';
import { compareQuestions } from './questions.js';
import {
  compareGradients,
  compareLosses,
  compareTrajectory,
  expectedOf,
  loadWeights,
  lossesAndGradients,
} from './training.js';

export interface ParityOptions {
  readonly engine?: EngineOptions;
  /** Largest relative error that passes; the default depends on the engine's precision. */
  readonly tolerance?: number | undefined;
}

/** For each precision the largest relative error that passes, and the floor for `worstOf`, a share of the largest norm. */
export const bounds: Readonly<Record<Precision, { readonly tolerance: number; readonly floor: number }>> = {
  float32: { tolerance: 1e-4, floor: 1e-4 },
  bfloat16: { tolerance: 5e-2, floor: 1e-3 },
};

export interface ParityReport {
  readonly fixture: string;
  readonly tolerance: number;
  readonly passed: boolean;
  readonly kinds: readonly KindReport[];
  readonly comparisons: readonly Comparison[];
  /** Kinds for which the fixture has no values. */
  readonly skipped: readonly string[];
  /** Notes of the engine, such as a failed capture. The numbers are then right, but the step did not run as usual. */
  readonly notes: readonly string[];
}

/** The names of our losses in a fixture. */
const lossKeys: Readonly<Record<LossName, string>> = {
  maskedLm: 'masked_lm',
  matched: 'matched',
  obj: 'obj',
  attr: 'attr',
  feat: 'feat',
  qa: 'qa',
};

/**
 * Runs a parity fixture, and compares outputs, attention maps in all directions, losses, every gradient, and the steps
 * of BertAdam. For a folder with `explain.json`, it compares attention maps, their gradients, relevancy matrices, and
 * scores of words and boxes.
 * @throws LxmertError for a fixture that is damaged or does not agree with its configuration
 */
export async function runParity(folder: string, { engine, tolerance }: ParityOptions = {}): Promise<ParityReport> {
  const notes: string[] = [];
  const onNote = (text: string): void => {
    notes.push(text);
    engine?.onNote?.(text);
  };
  const told = { ...engine, onNote };
  const { floor, tolerance: usual } = bounds[engine?.precision ?? 'float32'];
  const explains = isExplanation(folder);
  const comparisons = await (explains ? compareExplanations(folder, told) : compareTraining(folder, told));
  const among: readonly Kind[] = explains ? explanationKinds : kinds;
  const reports = worstOf(comparisons, floor, among);
  const most = tolerance ?? usual;
  return {
    fixture: folder,
    tolerance: most,
    passed: reports.every(({ worst }) => worst <= most),
    kinds: reports,
    comparisons,
    skipped: reports.filter(({ compared }) => compared === 0).map(({ kind }) => kind),
    notes,
  };
}

async function compareTraining(folder: string, engine: EngineOptions): Promise<Comparison[]> {
  const fixture = await openFixture(folder);
  try {
    const options = { ...modelOptions(fixture), engine };
    return await (fixture.pictures
      ? compareQuestions(fixture, options, fixture.pictures)
      : comparePretraining(fixture, options));
  } finally {
    await fixture.model.close();
    await fixture.expected.close();
    await fixture.after?.close();
  }
}

/** The model of a fixture, without dropout. */
function modelOptions({ config, trajectory }: Fixture): Omit<ModelOptions, 'engine'> {
  const optimizer = trajectory?.optimizer;
  return {
    config: { ...config, hiddenDropoutProb: 0, attentionProbsDropoutProb: 0 },
    adam: {
      beta1: optimizer?.b1 ?? 0.9,
      beta2: optimizer?.b2 ?? 0.999,
      epsilon: optimizer?.eps ?? 1e-6,
      weightDecay: optimizer?.weight_decay ?? 0.01,
      maxGradNorm: optimizer?.max_grad_norm ?? 1,
    },
  };
}

async function comparePretraining(fixture: Fixture, options: ModelOptions): Promise<Comparison[]> {
  const model = new Pretrainer(options);
  try {
    await loadWeights(fixture, model);
    return [
      ...(await compareOutputs(fixture, model)),
      ...(await comparePretrainGradients(fixture, model)),
      ...(await compareTrajectory(fixture, model, plainSum)),
    ];
  } finally {
    await model.dispose();
  }
}

async function compareOutputs(fixture: Fixture, model: Pretrainer): Promise<Comparison[]> {
  const { batch, expected, config } = fixture;
  const { tokens, objects, samples, tokenRows, objectRows } = batch;
  const longest = Math.max(tokens, objects);
  const mapNames = [...expected.entries.keys()].filter((name) => name.startsWith('attention.'));
  const makeMaps = (tape: Tape): AttentionMaps =>
    new Map(
      mapNames.map((name) => {
        const map = tape.activation([Math.ceil(samples / 8) * 8, config.numAttentionHeads, longest, longest], 'f32');
        return [name.slice('attention.'.length), map];
      }),
    );
  return model.forward(batch.everywhere, plainSum, {
    maps: makeMaps,
    use: async ({ language, vision, pooled, logits }, _, { maps }) => {
      const outputs: [name: string, tensor: Tensor | undefined, rows: Int32Array | null][] = [
        ['language_output', language, tokenRows],
        ['vision_output', vision, objectRows],
        ['pooled_output', pooled, null],
        ['prediction_logits', logits.maskedLm, tokenRows],
        ['cross_relationship_score', logits.matched, null],
        ['question_answering_score', logits.qa, null],
        ['obj_scores', logits.obj, objectRows],
        ['attr_scores', logits.attr, objectRows],
        ['feat_scores', logits.feat, objectRows],
      ];
      const comparisons: Comparison[] = [];
      for (const [name, tensor, rows] of outputs) {
        if (!tensor) continue;
        const width = expected.entries.get(name)!.shape.at(-1)!;
        const ours = firstColumns(await model.engine.readFloats(tensor), tensor.shape[1], width);
        comparisons.push(compareRows('outputs', name, ours, await expectedOf(fixture, name), rows, width));
      }
      for (const [name, map] of maps) {
        const ours = await model.engine.readFloats(map);
        comparisons.push(compareMap(fixture, name, ours, await expectedOf(fixture, `attention.${name}`), longest));
      }
      return comparisons;
    },
  });
}

/** The first columns of each row. Word logits have additional columns, which have no meaning. */
function firstColumns(values: Float32Array, columns: number, width: number): Float32Array {
  return columns === width ? values : values.filter((_, i) => i % columns < width);
}

/**
 * Compares attention maps for real queries and keys: theirs [B, heads, queries, keys], ours [B, heads, longest,
 * longest].
 */
function compareMap(
  fixture: Fixture,
  name: string,
  ours: Float32Array,
  theirs: Float32Array,
  longest: number,
): Comparison {
  const { samples, tokens, objects, batch } = fixture.batch;
  const [queryIsToken, keyIsToken] = /lang_to_vision/.test(name)
    ? [true, false]
    : /vision_to_lang/.test(name)
      ? [false, true]
      : [/language/.test(name), /language/.test(name)];
  const heads = fixture.config.numAttentionHeads;
  const queries = queryIsToken ? tokens : objects;
  const keys = keyIsToken ? tokens : objects;
  const count = (isToken: boolean, s: number): number => {
    const offsets = isToken ? batch.tokenOffsets : batch.objectOffsets;
    return offsets[s + 1] - offsets[s];
  };
  const picked: number[][] = [[], []];
  for (let s = 0; s < samples; s++)
    for (let h = 0; h < heads; h++)
      for (let q = 0; q < count(queryIsToken, s); q++)
        for (let k = 0; k < count(keyIsToken, s); k++) {
          picked[0].push(ours[((s * heads + h) * longest + q) * longest + k]);
          picked[1].push(theirs[((s * heads + h) * queries + q) * keys + k]);
        }
  return compareRows('attention maps', name, Float32Array.from(picked[0]), Float32Array.from(picked[1]), null, 1);
}

async function comparePretrainGradients(fixture: Fixture, model: Pretrainer): Promise<Comparison[]> {
  const { total, losses } = await lossesAndGradients(fixture, model, plainSum);
  return [
    ...(await compareLosses(fixture, [
      ...lossNames.map((name) => [lossKeys[name], losses[name] ?? 0] as const),
      ['total', total],
    ])),
    ...(await compareGradients(fixture, model)),
  ];
}
