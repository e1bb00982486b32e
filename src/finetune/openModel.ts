import { packSamples } from '../data/batches/packSamples.js';
import type { Batch } from '../data/batches/batch.js';
import type { ModelConfig } from '../config/modelConfig.js';
import type { EngineOptions } from '../engine/index.js';
import { LxmertError } from '../errors.js';
import { explainBy, type ExplanationMethod } from '../explain/index.js';
import { WordPiece } from '../text/wordPiece.js';
import { explainBatch } from './explainBatch.js';
import { InferenceModel } from './inference.js';
import type { RankedAnswer } from './predictions/index.js';
import { probabilityOf, rankAnswers } from './rank.js';
import type { TrainedWeightsOptions } from './trainedWeights.js';

/** The detected objects of a picture. */
export interface Picture {
  /** RoI features, one object after the other: [objects × visualFeatDim]. */
  readonly features: Float32Array;
  /** x0, y0, x1, y1 as shares of the picture, 0 to 1: [objects × 4]. */
  readonly boxes: Float32Array;
}

/** A question about a picture, or about two. */
export interface PictureQuestion {
  readonly picture: Picture | readonly [Picture, Picture];
  readonly question: string;
}

export interface OpenModelOptions extends EngineOptions, TrainedWeightsOptions {
  /** A BERT vocab.txt. Default: that of the checkpoint, or of bert-base-uncased if the checkpoint has none. */
  readonly vocabulary?: string | undefined;
  /**
   * Largest number of tokens of a sentence, including [CLS] and [SEP]. Default: the number of the training, or 20 if it
   * is not known.
   */
  readonly maxTokens?: number | undefined;
  /** Questions that the device computes at once; default 32. */
  readonly batchSize?: number | undefined;
}

export interface AnswerOptions {
  /** How many answers to give; default 5. */
  readonly top?: number | undefined;
}

export interface ExplainOptions {
  /** The answer to explain. Default: the answer that the model gives. */
  readonly answer?: string | undefined;
  /**
   * `relevancy` (Chefer et al. 2021), `attention` (the attention of the last cross-modality layer), or `rollout` (Abnar
   * and Zuidema 2020); default `relevancy`.
   */
  readonly method?: ExplanationMethod | undefined;
}

/**
 * How much each word and each object counts for an answer. Only the order and the ratios of these numbers have a
 * meaning.
 */
export interface Explanation {
  readonly answer: string;
  readonly probability: number;
  /** The WordPieces that the model saw: [tokens]. */
  readonly tokens: readonly string[];
  /** [tokens]; 0 for [CLS]. */
  readonly words: Float64Array;
  /** [objects] */
  readonly boxes: Float64Array;
}

/** The outputs of the model for a picture and a sentence. */
export interface Encoded {
  /** The WordPieces of the sentence, which may have been cut: [tokens]. */
  readonly tokens: readonly string[];
  /** Pooled [CLS]: [H]. */
  readonly pooled: Float32Array;
  /** Last hidden states: [tokens × H] and [objects × H]. */
  readonly language: Float32Array;
  readonly vision: Float32Array;
}

/** Attention probabilities of one layer: [heads × queries × keys]. */
export interface AttentionMap {
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly probabilities: Float32Array;
}

/**
 * A trained model for inference. Its functions may be called while earlier calls are running; the calls are processed
 * in their order. A sentence that is too long is cut.
 */
export interface OpenedModel {
  /** The checkpoint, folder or file, for messages. */
  readonly path: string;
  /** Widths, layers and heads of the weights. */
  readonly config: ModelConfig;
  /** Most tokens of a sentence, including [CLS] and [SEP]. The rest of a longer sentence is cut off. */
  readonly maxTokens: number;
  /** Whether the weights have a head for `match`. */
  readonly matches: boolean;
  /** The answers that the model can give; empty if it has no answer head. */
  readonly answers: readonly string[];
  /** Pictures of one question. */
  readonly pictures: 1 | 2;
  /** The best answers with their probabilities, best first. @throws UNSUPPORTED without an answer head; BAD_DATA */
  answer(
    picture: PictureQuestion['picture'],
    question: string,
    options?: AnswerOptions,
  ): Promise<readonly RankedAnswer[]>;
  /** The best answers to any number of questions. */
  answerAll(questions: readonly PictureQuestion[], options?: AnswerOptions): Promise<(readonly RankedAnswer[])[]>;
  /** Probability that sentence and picture belong together. @throws UNSUPPORTED without a matching head; BAD_DATA */
  match(picture: Picture, sentence: string): Promise<number>;
  /** The probability of `match` for any number of pictures, each with its sentence as `question`. */
  matchAll(pairs: readonly PictureQuestion[]): Promise<number[]>;
  encode(picture: Picture, sentence: string): Promise<Encoded>;
  /**
   * All attention maps by name: `language.<layer>`, `vision.<layer>`, `cross_lang_to_vision.<layer>`,
   * `cross_vision_to_lang.<layer>`, `cross_self_language.<layer>`, `cross_self_vision.<layer>`. Queries come first.
   */
  attention(picture: Picture, sentence: string): Promise<ReadonlyMap<string, AttentionMap>>;
  /**
   * Explains an answer of the model: how much each word and each object counts for it.
   * @throws UNSUPPORTED without an answer head, and for a model of two pictures; BAD_ARGUMENT for an answer that it cannot give;
   *   BAD_DATA
   */
  explain(picture: Picture, question: string, options?: ExplainOptions): Promise<Explanation>;
  /** Waits for the queued work, then releases all memory. It may be called more than once. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a model for inference: a checkpoint (fine-tuned or pre-trained), the best checkpoint of a run, or weights of
 * another form, such as a `.pth` of the original or a folder of transformers.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT naming what does not fit
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<OpenedModel> {
  const { vocabulary, maxTokens, batchSize = 32, answers, attentionHeads, ...engine } = options;
  const model = await InferenceModel.open(path, { answers, attentionHeads, engine });
  try {
    const wordPiece = await WordPiece.load({ vocabFile: vocabulary ?? model.vocabulary });
    if (wordPiece.vocabSize > model.config.vocabSize)
      throw new LxmertError(
        'BAD_CHECKPOINT',
        `${model.path}: the model has ${model.config.vocabSize} words, and the tokenizer has ${wordPiece.vocabSize}; give the model's vocabulary as 'vocabulary'`,
      );
    return opened(model, { wordPiece, maxTokens: maxTokens ?? model.task?.maxTokens ?? 20, batchSize });
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

function opened(
  model: InferenceModel,
  { wordPiece, maxTokens, batchSize }: { wordPiece: WordPiece; maxTokens: number; batchSize: number },
): OpenedModel {
  const { config, heads, answers = [] } = model;
  const pictures = heads.pictures ?? 1;
  const tokensOf = (sentence: string): Int32Array => Int32Array.from(wordPiece.encode(sentence, maxTokens));
  const batchOf = (questions: readonly PictureQuestion[], each: 1 | 2): Batch => {
    const samples = questions.flatMap(({ picture, question }, i) => {
      const all = Array.isArray(picture) ? (picture as readonly Picture[]) : [picture as Picture];
      if (all.length !== each)
        throw new LxmertError(
          'BAD_ARGUMENT',
          `question ${i}: ${all.length} pictures; the model takes ${each === 1 ? 'one' : 'two'}`,
        );
      return all.map(({ features, boxes }) => ({
        ...{ id: `question ${i}`, tokenIds: tokensOf(question), features, boxes },
      }));
    });
    return { ...packSamples(samples), pictures: each };
  };
  const one = (picture: Picture, question: string): Batch => batchOf([{ picture, question }], 1);
  const demand = (has: boolean, what: string): void => {
    if (!has) throw new LxmertError('UNSUPPORTED', `${model.path}: the weights have no ${what}`);
  };

  const demandAnswers = (): void =>
    demand(
      heads.pictures !== undefined && answers.length > 0,
      'answer head with a list of its answers (answers.json, or the option `answers`)',
    );
  const answerAll = async (questions: readonly PictureQuestion[], { top = 5 }: AnswerOptions = {}) => {
    demandAnswers();
    const parts: Promise<RankedAnswer[][]>[] = [];
    for (let start = 0; start < questions.length; start += batchSize) {
      const some = questions.slice(start, start + batchSize);
      const logits = model.answer(batchOf(some, pictures));
      parts.push(
        logits.then((values) =>
          some.map((_, i) => {
            const own = values.subarray(i * answers.length, (i + 1) * answers.length);
            return rankAnswers(own, answers, { loss: model.loss, top });
          }),
        ),
      );
    }
    return (await Promise.all(parts)).flat();
  };
  const matchAll = async (pairs: readonly PictureQuestion[]): Promise<number[]> => {
    demand(heads.match, 'head that says whether sentence and picture belong together');
    const parts: Promise<Float32Array>[] = [];
    for (let start = 0; start < pairs.length; start += batchSize)
      parts.push(model.match(batchOf(pairs.slice(start, start + batchSize), 1)));
    return (await Promise.all(parts)).flatMap((logits) =>
      Array.from({ length: logits.length / 2 }, (_, i) => 1 / (1 + Math.exp(logits[2 * i] - logits[2 * i + 1]))),
    );
  };
  const dispose = () => model.dispose();
  return {
    path: model.path,
    config,
    maxTokens,
    matches: heads.match,
    answers,
    pictures,
    answerAll,
    answer: async (picture, question, options) => (await answerAll([{ picture, question }], options))[0],
    match: async (picture, question) => (await matchAll([{ picture, question }]))[0],
    matchAll,
    encode: async (picture, sentence) => {
      const batch = one(picture, sentence);
      return {
        tokens: Array.from(batch.tokenIds, (id) => wordPiece.token(id)),
        ...(await model.hiddenStates(batch)),
      };
    },
    attention: async (picture, sentence) => {
      const batch = one(picture, sentence);
      const counts = { language: batch.tokenOffsets[1], vision: batch.objectOffsets[1] };
      const layers = mapsOf(config);
      const longest = Math.max(counts.language, counts.vision);
      const maps = await model.attention(batch, [...layers.keys()], longest);
      return new Map(
        [...layers].map(([name, [from, to]]) => {
          const [queries, keys] = [counts[from], counts[to]];
          return [name, trimmed(maps.get(name)!, { heads: config.numAttentionHeads, queries, keys, longest })];
        }),
      );
    },
    explain: async (picture, question, { answer: wanted, method = 'relevancy' } = {}) => {
      demandAnswers();
      const row = wanted === undefined ? undefined : answers.indexOf(wanted);
      if (row === -1)
        throw new LxmertError(
          'BAD_ARGUMENT',
          `${JSON.stringify(wanted)} is not one of the ${answers.length} answers of ${model.path}`,
        );
      const batch = one(picture, question);
      const [{ answer, logits, attention }] = await explainBatch(model, batch, [row]);
      return {
        answer: answers[answer],
        probability: probabilityOf(logits, model.loss)(logits[answer]),
        tokens: Array.from(batch.tokenIds, (id) => wordPiece.token(id)),
        ...explainBy[method](attention),
      };
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

export type StreamName = 'language' | 'vision';

/** Names of all attention maps of `OpenedModel.attention`, and the streams from which queries and keys come. */
export function mapsOf({
  lLayers,
  rLayers,
  xLayers,
}: InferenceModel['config']): ReadonlyMap<string, readonly [StreamName, StreamName]> {
  const kinds: readonly (readonly [string, number, StreamName, StreamName])[] = [
    ['language', lLayers, 'language', 'language'],
    ['vision', rLayers, 'vision', 'vision'],
    ['cross_lang_to_vision', xLayers, 'language', 'vision'],
    ['cross_vision_to_lang', xLayers, 'vision', 'language'],
    ['cross_self_language', xLayers, 'language', 'language'],
    ['cross_self_vision', xLayers, 'vision', 'vision'],
  ];
  return new Map(
    kinds.flatMap(([name, layers, from, to]) =>
      Array.from({ length: layers }, (_, i) => [`${name}.${i}`, [from, to]] as const),
    ),
  );
}

/** Returns the map of the first sample without its padding. */
function trimmed(
  map: Float32Array,
  { heads, queries, keys, longest }: Omit<AttentionMap, 'probabilities'> & { readonly longest: number },
): AttentionMap {
  const probabilities = new Float32Array(heads * queries * keys);
  for (let row = 0; row < heads * queries; row++) {
    const start = (Math.floor(row / queries) * longest + (row % queries)) * longest;
    probabilities.set(map.subarray(start, start + keys), row * keys);
  }
  return { heads, queries, keys, probabilities };
}
