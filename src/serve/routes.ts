import type { z } from 'zod';
import { mapsOf, type OpenedModel, type Picture, type PictureQuestion, type RankedAnswer } from '../finetune/index.js';
import type { PictureDetector } from './pictureDetector.js';
import type { Metrics } from './metrics.js';
import type { Limits } from './options.js';
import { Problem } from './problem.js';
import type { Lane, Queue } from './queue.js';
import { checked, oneOrSeveral, pictureOf } from './requests.js';
import type { answerSchemas, RequestSchemas } from './schemas.js';
import type { StoredPictures, ShownFile } from './storedPictures.js';

/** All that the routes need. */
export interface Service {
  readonly model: OpenedModel;
  readonly stored: StoredPictures;
  readonly pictureDetector: PictureDetector | undefined;
  readonly queue: Queue;
  readonly metrics: Metrics;
  readonly limits: Limits;
  readonly schemas: RequestSchemas;
  /** The files of the page, by path. */
  readonly page: ReadonlyMap<string, ShownFile>;
}

/** A request, as a route gets it. */
export interface Asked {
  /** The parameters of the address. */
  readonly query: unknown;
  /** The JSON of the body; undefined if there is none or if it is a picture. */
  readonly body: unknown;
  /** The body, if it is a picture. Its other fields are then in the query. */
  readonly image: Buffer | undefined;
  /** Aborted when the client has gone or the time is over. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly summary: string;
  /** Schema of the body of a POST, or of the query of a GET. */
  readonly request?: keyof RequestSchemas | undefined;
  /** Schema of the JSON of the answer; otherwise the media type of the answer. */
  readonly answers: keyof typeof answerSchemas | `${string}/${string}`;
  /** JSON, a text of the media type `answers`, or a file. */
  readonly handle: (service: Service, asked: Asked) => unknown;
}

/** A question with the number of answers that its client wants. */
interface TopQuestion extends PictureQuestion {
  readonly top: number;
}

/** The lanes of the queue: what one pass of the model can compute for several requests. */
export function lanesOf(model: OpenedModel) {
  const answer: Lane<TopQuestion, RankedAnswer[]> = async (questions) => {
    const most = Math.max(...questions.map(({ top }) => top));
    const ranked = await model.answerAll(questions, { top: most });
    return ranked.map((answers, i) => answers.slice(0, questions[i].top));
  };
  const match: Lane<PictureQuestion, number> = (pairs) => model.matchAll(pairs);
  return { answer, match };
}

/** The fields of a request: those of its JSON, or of the query when the body is a picture. */
function fieldsOf<N extends 'answer' | 'match' | 'explain'>(
  { schemas }: Service,
  name: N,
  { body, image, query }: Asked,
): z.output<RequestSchemas[N]> {
  const fields = image === undefined ? body : queryFields(query);
  return checked(schemas[name], fields, image === undefined ? 'the body' : 'the query') as z.output<RequestSchemas[N]>;
}

/** The query as the fields of a JSON body: `question` may occur several times, and `top` is a number. */
function queryFields(query: unknown): unknown {
  const several: Readonly<Record<string, string>> = { question: 'questions', sentence: 'sentences' };
  const entries = Object.entries(query as Readonly<Record<string, unknown>>).map(([name, value]) => {
    if (name === 'top') return [name, Number(value)] as const;
    return [Array.isArray(value) ? (several[name] ?? name) : name, value] as const;
  });
  return Object.fromEntries(entries);
}

const sources = ({ stored, pictureDetector, limits, model }: Service) => ({
  ...{ stored, pictureDetector, limits, featureDim: model.config.visualFeatDim },
});

/** Refuses a request that the weights cannot answer before any work is done. @throws Problem 501 */
function demand(has: boolean, { path }: OpenedModel, what: string): void {
  if (!has) throw new Problem(501, `${path}: the weights have no ${what}`);
}
const demandAnswers = (model: OpenedModel): void =>
  demand(
    model.answers.length > 0,
    model,
    'answer head with a list of its answers, so the model cannot answer questions',
  );

async function answerRoute(service: Service, asked: Asked, lanes: ReturnType<typeof lanesOf>) {
  const { model, queue } = service;
  demandAnswers(model);
  const { picture, pictures, question, questions, top } = fieldsOf(service, 'answer', asked);
  const texts = oneOrSeveral(question, questions, ['question', 'questions']);
  const given = asked.image ? [asked.image] : oneOrSeveral(picture, pictures, ['picture', 'pictures']);
  if (given.length !== model.pictures)
    throw new Problem(
      422,
      model.pictures === 2
        ? 'picture: the model takes two pictures for each question; expected pictures, a list of two'
        : 'pictures: the model takes one picture for each question; expected picture',
    );
  const seen: Picture[] = [];
  for (const one of given) seen.push(await pictureOf(one, sources(service), asked.signal));
  const input = seen.length === 2 ? ([seen[0], seen[1]] as const) : seen[0];
  const ranked = await queue.add(
    lanes.answer,
    texts.map((text) => ({ picture: input, question: text, top })),
    asked.signal,
  );
  return { results: texts.map((text, i) => ({ question: text, answers: ranked[i] })) };
}

async function matchRoute(service: Service, asked: Asked, lanes: ReturnType<typeof lanesOf>) {
  const { model, queue } = service;
  demand(
    model.matches,
    model,
    'head that says whether sentence and picture belong together; a pre-trained model has one',
  );
  const { picture: given, sentence, sentences } = fieldsOf(service, 'match', asked);
  const texts = oneOrSeveral(sentence, sentences, ['sentence', 'sentences']);
  const picture = await pictureOf(asked.image ?? given, sources(service), asked.signal);
  const found = await queue.add(
    lanes.match,
    texts.map((question) => ({ picture, question })),
    asked.signal,
  );
  return { results: texts.map((text, i) => ({ sentence: text, probability: found[i] })) };
}

async function explainRoute(service: Service, asked: Asked) {
  const { model, queue } = service;
  demandAnswers(model);
  if (model.pictures === 2)
    throw new Problem(501, 'the model takes two pictures, and explanations are for one picture');
  const { picture: given, question, answer, method, map } = fieldsOf(service, 'explain', asked);
  const maps = mapsOf(model.config);
  const streams = map === undefined ? undefined : maps.get(map);
  if (map !== undefined && !streams)
    throw new Problem(
      422,
      `the body.map: ${JSON.stringify(map.slice(0, 60))} is not known; expected one of ${[...maps.keys()].join(', ')}`,
    );
  const picture = await pictureOf(asked.image ?? given, sources(service), asked.signal);
  const work: Lane<
    PictureQuestion,
    [Awaited<ReturnType<OpenedModel['explain']>>, ReturnType<typeof attentionOf>?]
  > = async () => {
    const explanation = await model.explain(picture, question, { answer, method });
    if (map === undefined || !streams) return [[explanation]];
    return [[explanation, attentionOf(map, streams, (await model.attention(picture, question)).get(map)!)]];
  };
  const [[explanation, attention]] = await queue.add(work, [{ picture, question }], asked.signal);
  return {
    ...{ answer: explanation.answer, probability: explanation.probability },
    words: explanation.tokens.map((text, i) => ({ text, relevance: explanation.words[i] })),
    boxes: Array.from(explanation.boxes, (relevance, i) => ({
      box: [...picture.boxes.subarray(4 * i, 4 * i + 4)],
      relevance,
    })),
    attention,
  };
}

type AttentionMap = Awaited<ReturnType<OpenedModel['attention']>> extends ReadonlyMap<string, infer Map> ? Map : never;

/** A map as JSON, with the streams of its queries and keys. */
function attentionOf(
  map: string,
  streams: NonNullable<ReturnType<ReturnType<typeof mapsOf>['get']>>,
  { heads, queries, keys, probabilities }: AttentionMap,
) {
  const [from, to] = streams.map((stream) => (stream === 'language' ? 'words' : 'boxes'));
  return {
    ...{ map, queries: from, keys: to },
    heads: Array.from({ length: heads }, (_, h) =>
      Array.from({ length: queries }, (__, q) => [
        ...probabilities.subarray((h * queries + q) * keys, (h * queries + q + 1) * keys),
      ]),
    ),
  };
}

/** All routes but those of the page's files and of the OpenAPI document. */
export function routesOf(model: OpenedModel): readonly Route[] {
  const lanes = lanesOf(model);
  return [
    {
      ...{ method: 'POST', path: '/answer', request: 'answer', answers: 'answer' },
      summary: 'The best answers to questions about a picture',
      handle: (service, asked) => answerRoute(service, asked, lanes),
    },
    {
      ...{ method: 'POST', path: '/match', request: 'match', answers: 'match' },
      summary: 'Whether sentences and a picture belong together',
      handle: (service, asked) => matchRoute(service, asked, lanes),
    },
    {
      ...{ method: 'POST', path: '/explain', request: 'explain', answers: 'explain' },
      summary: 'How much each word and each object counts for an answer',
      handle: explainRoute,
    },
    {
      ...{ method: 'GET', path: '/model', answers: 'model' },
      summary: 'What the model can do',
      handle: ({ pictureDetector, stored }) => ({
        ...{ path: model.path, answers: model.answers.length, pictures: model.pictures, matches: model.matches },
        ...{ featureDim: model.config.visualFeatDim, maxTokens: model.maxTokens },
        ...{ heads: model.config.numAttentionHeads, maps: [...mapsOf(model.config).keys()] },
        ...{ detector: pictureDetector !== undefined, storedPictures: stored.ids.length },
      }),
    },
    {
      ...{ method: 'GET', path: '/pictures', request: 'pictures', answers: 'pictures' },
      summary: 'The ids of the pictures that the server has',
      handle: ({ stored, schemas }, { query }) => {
        const { find, from, count } = checked(schemas.pictures, query, 'the query');
        const ids = find === '' ? stored.ids : stored.ids.filter((id) => id.includes(find));
        return { total: ids.length, ids: ids.slice(from, from + count) };
      },
    },
    {
      ...{ method: 'GET', path: '/picture', request: 'picture', answers: 'image/*' },
      summary: 'A picture that the server has, or a drawing of its objects',
      handle: ({ stored, schemas }, { query }) => {
        const { id } = checked(schemas.picture, query, 'the query');
        if (!stored.has(id))
          throw new Problem(404, `there is no picture ${JSON.stringify(id.slice(0, 120))} (GET /pictures)`);
        return stored.show(id);
      },
    },
    {
      ...{ method: 'GET', path: '/health', answers: 'health' },
      summary: 'Whether the server works',
      handle: ({ queue }) => ({ status: 'ok', waiting: queue.waiting }),
    },
    {
      ...{ method: 'GET', path: '/metrics', answers: 'text/plain' },
      summary: "Metrics in Prometheus' form",
      handle: ({ metrics }) => metrics.registry.metrics(),
    },
  ];
}
