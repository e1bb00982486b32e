import { z } from 'zod';
import { explanationMethods } from '../explain/index.js';
import type { Limits } from './options.js';

const share = z.number();
const answer = z.strictObject({ answer: z.string(), probability: z.number() });

/**
 * Features as text or as rows of numbers. The rows are checked here and not by zod, which would make one error for each of
 * perhaps millions of wrong numbers.
 */
const featuresSchema = z
  .custom<string | readonly (readonly number[])[]>(
    (value) => typeof value === 'string' || isRows(value),
    'expected a list of numbers for each object, or base64',
  )
  .meta({
    description:
      'features of the objects: a list for each object, or base64 of all numbers as little-endian float32. Needs boxes',
    anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'array', items: { type: 'number' } } }],
  });

const isRows = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every((row: unknown) => Array.isArray(row) && row.every((one: unknown) => typeof one === 'number'));

/** The schemas of requests and answers. They check requests, and the OpenAPI document is made from them. */
export function requestSchemas({ maxLetters, maxQuestions, maxObjects }: Limits) {
  const text = z.string().min(1).max(maxLetters);
  const texts = z.array(text).min(1).max(maxQuestions);
  const picture = z
    .strictObject({
      id: z.string().optional().describe('the id of a picture that the server has (GET /pictures)'),
      image: z.string().optional().describe('a JPEG, PNG or WebP file in base64; the server needs a detector'),
      features: featuresSchema.optional(),
      boxes: z
        .array(z.array(share).length(4))
        .min(1)
        .max(maxObjects)
        .optional()
        .describe('x0, y0, x1, y1 of each object as shares of the picture, from 0 to 1. Needs features'),
    })
    .describe('exactly one of: id, image, or features with boxes');
  const question = text.optional().describe('one question');
  const questions = texts.optional().describe('several questions; instead of question');
  const top = z.int().min(1).max(100).default(5).describe('how many answers to give');
  return {
    answer: z.strictObject({
      picture: picture.optional(),
      pictures: z
        .array(picture)
        .length(2)
        .optional()
        .describe('for a model that takes two pictures for each question; instead of picture'),
      ...{ question, questions, top },
    }),
    match: z.strictObject({
      picture: picture.optional(),
      sentence: text.optional().describe('one sentence'),
      sentences: texts.optional().describe('several sentences; instead of sentence'),
    }),
    explain: z.strictObject({
      picture: picture.optional(),
      question: text,
      answer: z.string().optional().describe('the answer to explain; default: the answer that the model gives'),
      method: z.enum(explanationMethods).default('relevancy'),
      map: z
        .string()
        .optional()
        .describe('an attention map to give as well, such as cross_lang_to_vision.0 (GET /model lists them)'),
    }),
    pictures: z.strictObject({
      find: z.string().max(200).default('').describe('part of the ids'),
      from: z.coerce.number().int().min(0).default(0).describe('how many to leave out'),
      count: z.coerce.number().int().min(1).max(1000).default(100).describe('how many to list'),
    }),
    picture: z.strictObject({ id: z.string() }),
  };
}

export type RequestSchemas = ReturnType<typeof requestSchemas>;
export type PictureRequest = NonNullable<z.infer<RequestSchemas['match']>['picture']>;

export const answerSchemas = {
  answer: z.strictObject({
    results: z
      .array(z.strictObject({ question: z.string(), answers: z.array(answer) }))
      .describe('one entry for each question, with the best answers first'),
  }),
  match: z.strictObject({
    results: z
      .array(z.strictObject({ sentence: z.string(), probability: z.number() }))
      .describe('the probability that sentence and picture belong together'),
  }),
  explain: z.strictObject({
    ...answer.shape,
    words: z
      .array(z.strictObject({ text: z.string(), relevance: z.number() }))
      .describe('the WordPieces that the model saw, [CLS] and [SEP] included'),
    boxes: z.array(z.strictObject({ box: z.array(share).length(4), relevance: z.number() })),
    attention: z
      .strictObject({
        map: z.string(),
        queries: z.enum(['words', 'boxes']),
        keys: z.enum(['words', 'boxes']),
        heads: z.array(z.array(z.array(z.number()))).describe('[heads][queries][keys]'),
      })
      .optional(),
  }),
  model: z.strictObject({
    path: z.string(),
    answers: z.int().describe('number of answers that the model can give; 0 if it has no answer head'),
    pictures: z.int().describe('pictures of one question'),
    matches: z.boolean().describe('whether POST /match is possible'),
    featureDim: z.int(),
    maxTokens: z.int(),
    heads: z.int().describe('attention heads of a layer'),
    maps: z.array(z.string()).describe('names of the attention maps'),
    detector: z.boolean().describe('whether pictures can be uploaded'),
    storedPictures: z.int(),
  }),
  health: z.strictObject({ status: z.literal('ok'), waiting: z.int().describe('questions that wait') }),
  pictures: z.strictObject({ total: z.int().describe('pictures that match'), ids: z.array(z.string()) }),
  problem: z.looseObject({
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.strictObject({ field: z.string(), message: z.string() })).optional(),
  }),
};
