import { LxmertError } from '../errors.js';
import { packSamples, samplesOf } from '../data/batches/packSamples.js';
import { explainBy, type ExplanationMethod, type Relevance } from '../explain/index.js';
import { withAsked, type Asked, type AskedRequest } from './asked.js';
import { explainBatch } from './explainBatch.js';
import { pickQuestions, type QuestionData } from './questionData.js';
import { questionBatches } from './questionSource.js';
import { probabilityOf } from './rank.js';

export interface ExplainRequest extends AskedRequest {
  /**
   * The id of a question, or of a picture, all of whose questions are then explained. Default: all questions of the
   * splits, up to `limit`.
   */
  readonly id?: string | undefined;
  /** Explains only this question of the picture `id`, counted from 1 in the order of the data. */
  readonly question?: number | undefined;
  /** Default: `relevancy`. */
  readonly method?: ExplanationMethod | undefined;
  /** Uses this attention map instead of a method. */
  readonly map?: MapChoice | undefined;
  /** Number of questions in a batch; default 32. */
  readonly batchSize?: number | undefined;
}

export interface MapChoice {
  /** The name of the map, such as `cross_lang_to_vision.4` (`OpenedModel.attention`). */
  readonly name: string;
  /** The head, counted from 0; undefined: the mean of all heads. */
  readonly head?: number | undefined;
}

/** The answer to a question, and how much each word and each box counts for it. */
export interface ExplainedQuestion {
  readonly id: string;
  /** The id of the picture. */
  readonly image: string;
  readonly answer: string;
  readonly probability: number;
  /** The right answers that are in the model's answer list. */
  readonly labels: readonly string[];
  /** WordPieces, [CLS] and [SEP] included. */
  readonly words: readonly { readonly text: string; readonly relevance: number }[];
  /** Each box is x0, y0, x1, y1 as shares of the picture. */
  readonly boxes: readonly { readonly box: readonly number[]; readonly relevance: number }[];
  /** The attention map `map` of the request: one row for each query, one column for each key. */
  readonly attention?: readonly (readonly number[])[] | undefined;
}

/**
 * Explains the answers to some questions of a split.
 * @throws BAD_ARGUMENT for an id that the split does not have, a question that the picture does not have, or a map or
 *   head that the model does not have; UNSUPPORTED for a model that takes two pictures for each question; the errors of
 *   `withAsked`
 */
export function explainQuestions(request: ExplainRequest): Promise<ExplainedQuestion[]> {
  const { id, limit, map } = request;
  return withAsked({ ...request, limit: id === undefined ? limit : undefined }, async (asked) => {
    if (map) demandMap(asked.model.config, map);
    const data = pickQuestions(asked.data, chosen(asked.data, request));
    const { batches, release } = questionBatches(data, { batchSize: request.batchSize ?? 32, workers: 0 });
    const explained: ExplainedQuestion[] = [];
    for await (const batch of batches) {
      request.signal?.throwIfAborted();
      explained.push(...(await explainOneBatch({ ...asked, data }, batch, { ...request, from: explained.length })));
      release(batch);
    }
    return explained;
  });
}

type AnyBatch = Parameters<typeof explainBatch>[1];

async function explainOneBatch(
  { model, data, answers, wordPiece }: Asked,
  batch: AnyBatch,
  { method = 'relevancy', map, from }: ExplainRequest & { readonly from: number },
): Promise<ExplainedQuestion[]> {
  const explained = await explainBatch(model, batch);
  const samples = samplesOf(batch);
  const result: ExplainedQuestion[] = [];
  for (const [i, { answer, logits, attention }] of explained.entries()) {
    const { id, tokenIds, boxes, ...sample } = samples[i];
    const shown = map && (await attentionMap(model, packSamples([{ id, tokenIds, boxes, ...sample }]), map));
    const { words, boxes: ofBoxes } = shown?.relevance ?? explainBy[method](attention);
    const question = from + i;
    const labels = data.answerIds.subarray(data.answerOffsets[question], data.answerOffsets[question + 1]);
    result.push({
      id,
      image: data.imageIds[data.images[question]],
      answer: answers[answer],
      probability: probabilityOf(logits, model.loss)(logits[answer]),
      labels: Array.from(labels, (row) => answers[row]),
      words: Array.from(tokenIds, (token, t) => ({ text: wordPiece.token(token), relevance: words[t] })),
      boxes: Array.from(ofBoxes, (relevance, b) => ({ box: [...boxes.subarray(4 * b, 4 * b + 4)], relevance })),
      attention: shown?.rows,
    });
  }
  return result;
}

/** The questions to explain, as positions in the data. */
function chosen(data: QuestionData, { id, question }: ExplainRequest): number[] {
  const all = Array.from({ length: data.size }, (_, i) => i);
  if (id === undefined) return all;
  const named = all.filter((i) => data.sampleId(i) === id);
  const own = named.length > 0 ? named : all.filter((i) => data.imageIds[data.images[i * data.pictures]] === id);
  const where = `${data.name} (${data.texts.join(', ')})`;
  if (own.length === 0)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--id ${JSON.stringify(id)}: ${where} has neither a question nor a picture of this id with features; an id is, for example, ` +
        `${JSON.stringify(data.sampleId(0))} (a question) or ${JSON.stringify(data.imageIds[data.images[0]])} (a picture)`,
    );
  if (question === undefined) return own;
  if (question > own.length)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--question ${question}: ${JSON.stringify(id)} has ${own.length} ${own.length === 1 ? 'question' : 'questions'} in ${where}; ` +
        `expected 1 to ${own.length}`,
    );
  return [own[question - 1]];
}

type Model = Asked['model'];

const mapKinds = {
  language: { layers: 'lLayers', queries: 'words', keys: 'words' },
  vision: { layers: 'rLayers', queries: 'boxes', keys: 'boxes' },
  cross_lang_to_vision: { layers: 'xLayers', queries: 'words', keys: 'boxes' },
  cross_vision_to_lang: { layers: 'xLayers', queries: 'boxes', keys: 'words' },
  cross_self_language: { layers: 'xLayers', queries: 'words', keys: 'words' },
  cross_self_vision: { layers: 'xLayers', queries: 'boxes', keys: 'boxes' },
} as const;
type MapKind = keyof typeof mapKinds;

/** The kind and the layer of a map's name. @throws BAD_ARGUMENT for a map or head that the model does not have */
function demandMap(config: Model['config'], { name, head = 0 }: MapChoice): { kind: MapKind; layer: number } {
  const [kind, layer] = name.split('.');
  const known = kind in mapKinds ? config[mapKinds[kind as MapKind].layers] : 0;
  if (!/^\d+$/.test(layer ?? '') || Number(layer) >= known || name !== `${kind}.${Number(layer)}`) {
    const all = Object.entries(mapKinds).map(([one, { layers }]) => `${one}.0 to .${config[layers] - 1}`);
    throw new LxmertError('BAD_ARGUMENT', `--map ${JSON.stringify(name)}: expected one of ${all.join(', ')}`);
  }
  if (head >= config.numAttentionHeads)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `--head ${head}: the model has ${config.numAttentionHeads} heads; expected 0 to ${config.numAttentionHeads - 1}`,
    );
  return { kind: kind as MapKind, layer: Number(layer) };
}

/**
 * One attention map of one sample, and the relevance of each key. If the queries are words, the relevance is the
 * attention of [CLS] to the key. If the queries are boxes, it is the mean attention of all boxes to the key.
 */
async function attentionMap(
  model: Model,
  batch: AnyBatch,
  choice: MapChoice,
): Promise<{ readonly rows: number[][]; readonly relevance: Relevance }> {
  const { kind, layer } = demandMap(model.config, choice);
  const counts = { words: batch.tokenOffsets[1], boxes: batch.objectOffsets[1] };
  const side = Math.max(counts.words, counts.boxes);
  const names = kind.includes('_to_')
    ? [`cross_lang_to_vision.${layer}`, `cross_vision_to_lang.${layer}`]
    : [choice.name];
  const values = (await model.attention(batch, names, side)).get(choice.name)!;
  const { queries, keys } = mapKinds[kind];
  const { numAttentionHeads } = model.config;
  const heads = choice.head === undefined ? Array.from({ length: numAttentionHeads }, (_, h) => h) : [choice.head];
  const rows = Array.from({ length: counts[queries] }, (_, q) =>
    Array.from({ length: counts[keys] }, (__, k) =>
      heads.reduce((sum, h) => sum + values[(h * side + q) * side + k] / heads.length, 0),
    ),
  );
  const asking = queries === 'words' ? rows.slice(0, 1) : rows;
  const ofKeys = Float64Array.from({ length: counts[keys] }, (_, k) =>
    asking.reduce((sum, row) => sum + row[k] / asking.length, 0),
  );
  const nothing = { words: new Float64Array(counts.words), boxes: new Float64Array(counts.boxes) };
  return { rows, relevance: { ...nothing, [keys]: ofKeys } };
}
