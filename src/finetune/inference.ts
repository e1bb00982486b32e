import { crc32 } from 'node:zlib';
import type { ModelConfig } from '../config/modelConfig.js';
import { examplesOf, type Batch } from '../data/batches/batch.js';
import { joinRows, linear, rowBlock, type EngineOptions, type Tape, type Tensor } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import type { AttentionMaps } from '../model/encoder.js';
import { answerEntries, answerHead } from '../model/heads.js';
import { firstRows, lxmert, lxmertFirstRows, pooler } from '../model/lxmert.js';
import { encoderParameters, groupOf, linearEntries } from '../model/parameters.js';
import { recordOf } from '../records.js';
import type { ForwardPass, Objective } from '../step/objective.js';
import { TrainableModel } from '../step/trainableModel.js';
import { readFloat32 } from '../weights/source.js';
import type { AnswerLoss } from './objective.js';
import { vocabularyIn, type TaskDescription } from './taskFile.js';
import {
  demandTensors,
  matchHead,
  openTrainedWeights,
  type Heads,
  type TrainedWeights,
  type TrainedWeightsOptions,
} from './trainedWeights.js';

/** The outputs that a forward pass can give. Each is computed only if it is requested. */
const wanted = ['answer', 'match', 'hidden'] as const;
type Wanted = (typeof wanted)[number];

interface InferenceOutputs {
  /** Last hidden states, if `hidden` is requested: [rows, H]. */
  readonly language?: Tensor | undefined;
  readonly vision?: Tensor | undefined;
  /** [samples, H] */
  readonly pooled: Tensor;
  /** Logits, if `answer` is requested: [examples, answers]. */
  readonly answers?: Tensor | undefined;
  /** Logits, if `match` is requested: [samples, 2]; class 1 means yes. */
  readonly match?: Tensor | undefined;
}

/** An objective with outputs but without losses. A requested output has weight 1, the others have weight 0. */
function inferenceObjective({ pictures, match }: Heads): Objective<Wanted, InferenceOutputs> {
  return {
    losses: wanted,
    parameters: (config) => [
      ...encoderParameters(config),
      ...(match ? groupOf('match', linearEntries(matchHead, 2, config.hiddenSize)) : []),
      ...(pictures ? groupOf('head', answerEntries(config, config.numQaLabels, pictures * config.hiddenSize)) : []),
    ],
    factors: () => recordOf(wanted, () => 1),
    counts: () => recordOf(wanted, () => 1),
    groups: () => new Set(),
    forward: ({ encoder, batch, weights }: ForwardPass<Wanted>) => {
      const whole = weights.hidden ? lxmert(encoder, batch) : undefined;
      const first = whole ? firstRows(encoder, batch, whole.language) : lxmertFirstRows(encoder, batch);
      const pooled = pooler(encoder, batch, first);
      const joined = pictures === 2 ? joinRows(pooled, 2) : pooled;
      return {
        ...whole,
        pooled,
        answers: weights.answer ? answerHead(encoder, batch.examples, joined) : undefined,
        match: weights.match
          ? linear(encoder.tape, batch.samples, pooled, encoder.weights.linear(matchHead))
          : undefined,
      };
    },
  };
}

/** Last hidden states of a batch, and the pooled output. */
export interface HiddenStates {
  /** [samples × H] */
  readonly pooled: Float32Array;
  /** [language rows × H] and [vision rows × H]; rows as in the batch. */
  readonly language: Float32Array;
  readonly vision: Float32Array;
}

/**
 * Attention maps of a batch and their gradients: each map is [samples, heads, side, side]. The values of the padding
 * have no meaning.
 */
export interface MapsAndGradients {
  /** [examples × answers] */
  readonly logits: Float32Array;
  readonly heads: number;
  readonly side: number;
  /** The position at which each map begins, by name. */
  readonly starts: ReadonlyMap<string, number>;
  readonly maps: Float32Array;
  readonly gradients: Float32Array;
}

interface InferenceOptions extends TrainedWeightsOptions {
  readonly engine?: EngineOptions | undefined;
  /**
   * Numbers of layers to use, if fewer than the weights have: the first layers of each encoder. By default all layers
   * are used.
   */
  readonly layers?: Partial<Pick<ModelConfig, 'lLayers' | 'rLayers' | 'xLayers'>> | undefined;
}

/**
 * A trained model for inference, without losses and optimizer. Calls are processed in the order in which they are made.
 */
export class InferenceModel {
  readonly #model: TrainableModel<Wanted, InferenceOutputs>;
  readonly config: ModelConfig;
  /** The answer of each row of the answer head; absent if the answers are not known. */
  readonly answers: readonly string[] | undefined;
  /** The task for which the model was fine-tuned; absent if it is not known. */
  readonly task: TaskDescription | undefined;
  /** The loss of the training, which determines how logits become probabilities. */
  readonly loss: AnswerLoss;
  readonly heads: Heads;
  /** The checkpoint, folder or file, for messages. */
  readonly path: string;
  /** The vocabulary file beside the weights; absent if the model uses that of bert-base-uncased. */
  readonly vocabulary: string | undefined;

  private constructor(
    { config, answers, task, loss, heads, path, source }: TrainedWeights,
    model: TrainableModel<Wanted, InferenceOutputs>,
  ) {
    this.config = config;
    this.answers = answers;
    this.task = task;
    this.loss = loss;
    this.heads = heads;
    this.path = path;
    this.vocabulary = source.isFolder ? vocabularyIn(source.folder) : undefined;
    this.#model = model;
  }

  /**
   * Opens any weights that `openTrainedWeights` can open.
   * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT naming what does not fit
   */
  static async open(path: string, { engine = {}, layers, ...options }: InferenceOptions): Promise<InferenceModel> {
    const opened = await openTrainedWeights(path, options);
    const weights = { ...opened, config: { ...opened.config, ...layers } };
    try {
      const model = new TrainableModel(inferenceObjective(weights.heads), {
        config: weights.config,
        adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0, maxGradNorm: 0 },
        engine,
      });
      try {
        await loadAll(weights, model);
        await model.packWeights();
      } catch (error) {
        await model.dispose();
        throw error;
      }
      return new InferenceModel(weights, model);
    } finally {
      await weights.source.close();
    }
  }

  /** Logits of the answers: [examples × answers]. */
  answer(batch: Batch): Promise<Float32Array> {
    return this.#model.forward(batch, only('answer'), {
      use: async ({ answers }) => this.#read(answers, examplesOf(batch)),
    });
  }

  /** Logits for the question whether sentence and picture belong together, for no and for yes: [samples × 2]. */
  match(batch: Batch): Promise<Float32Array> {
    return this.#model.forward(batch, only('match'), { use: async ({ match }) => this.#read(match, batch.size) });
  }

  hiddenStates(batch: Batch): Promise<HiddenStates> {
    return this.#model.forward(batch, only('hidden'), {
      use: async ({ pooled, language, vision }) => {
        const [a, b, c] = await Promise.all([
          this.#read(pooled, batch.size),
          this.#read(language, batch.tokenOffsets[batch.size]),
          this.#read(vision, batch.objectOffsets[batch.size]),
        ]);
        return { pooled: a, language: b, vision: c };
      },
    });
  }

  /** Attention probabilities by name: [samples, heads, longest, longest]. The padding has no meaning. */
  attention(batch: Batch, names: readonly string[], longest: number): Promise<ReadonlyMap<string, Float32Array>> {
    const { numAttentionHeads: heads } = this.config;
    const samples = Math.ceil(batch.size / 8) * 8;
    return this.#model.forward(batch, only('hidden'), {
      maps: (tape: Tape): AttentionMaps =>
        new Map(names.map((name) => [name, tape.activation([samples, heads, longest, longest], 'f32')])),
      use: async (_, __, { maps }) => {
        const read = new Map<string, Float32Array>();
        for (const [name, map] of maps) read.set(name, await this.#model.engine.readFloats(map));
        return read;
      },
    });
  }

  /** A CRC-32 of all weights. */
  async checksum(): Promise<number> {
    let sum = 0;
    for (const { name } of this.#model.parameters) {
      const { buffer, byteOffset, byteLength } = await this.#model.read('parameter', name);
      sum = crc32(new Uint8Array(buffer, byteOffset, byteLength), sum);
    }
    return sum;
  }

  /**
   * Attention probabilities on the way to the answers, and their gradients with respect to one logit of each example:
   * one forward and one backward pass, without dropout. The logits of one example do not depend on other examples, so
   * each example gets only the gradient of its own logit.
   * @param choose the row of the answer head for each example, given all logits
   */
  explain(
    batch: Batch,
    names: readonly string[],
    choose: (logits: Float32Array) => number[],
  ): Promise<MapsAndGradients> {
    const { numAttentionHeads: heads, numQaLabels: answers } = this.config;
    const samples = Math.ceil(batch.size / 8) * 8;
    const side = longestOf(batch);
    let all: Tensor[] = [];
    const makeMaps = (tape: Tape): AttentionMaps => {
      const whole = tape.activation([names.length * samples, heads, side, side], 'f32');
      all.push(whole);
      return new Map(names.map((name, i) => [name, rowBlock(whole, i * samples, samples)]));
    };
    const own = (values: Float32Array): Float32Array => values.subarray(0, examplesOf(batch) * answers);
    return this.#model.forward(batch, only('answer'), {
      maps: (tape) => {
        all = [];
        return makeMaps(tape);
      },
      mapGradients: { from: (outputs) => outputs.answers!, choose: (values) => choose(own(values)), maps: makeMaps },
      use: async (_, __, { values }) => {
        const [maps, gradients] = await Promise.all(all.map((tensor) => this.#model.engine.readFloats(tensor)));
        const size = samples * heads * side * side;
        const starts = new Map(names.map((name, i) => [name, i * size]));
        return { logits: own(values), heads, side, starts, maps, gradients };
      },
    });
  }

  /** Waits for the queued work, then releases all memory. */
  dispose(): Promise<void> {
    return this.#model.dispose();
  }

  async #read(tensor: Tensor | undefined, rows: number): Promise<Float32Array> {
    if (!tensor) throw new LxmertError('INTERNAL', 'a requested output is missing');
    return (await this.#model.engine.readFloats(tensor)).subarray(0, rows * tensor.shape[1]);
  }
}

/** The largest number of tokens or objects of a sample. */
function longestOf({ size, tokenOffsets, objectOffsets }: Batch): number {
  let longest = 0;
  for (const offsets of [tokenOffsets, objectOffsets])
    for (let s = 0; s < size; s++) longest = Math.max(longest, offsets[s + 1] - offsets[s]);
  return longest;
}

const only = (name: Wanted) => recordOf(wanted, (one) => (one === name ? 1 : 0));

/** Loads all parameters of the model. Heads that only the weights have are ignored. */
async function loadAll(weights: TrainedWeights, model: TrainableModel<Wanted, InferenceOutputs>): Promise<void> {
  demandTensors(weights, model.parameters);
  const { source, path } = weights;
  for (const { name } of model.parameters)
    await model.write('parameter', name, await readFloat32(source.tensors.get(name)!, path));
}
