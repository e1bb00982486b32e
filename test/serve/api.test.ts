/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { finetune, openModel, type OpenedModel } from '../../src/finetune/index.js';
import { openDetector, shownToModel } from '../../src/pictures/index.js';
import { serve, type Served } from '../../src/serve/index.js';
import { smallModel } from '../finetune/questionScenes.js';
import { servedScenes, type ServedScenes } from './support.js';

let scenes: ServedScenes;
let server: Served;
let model: OpenedModel;
let picture: { features: Float32Array; boxes: Float32Array };
const id = 'scene_valid_00000000';
const engine = { device: 'cpu', threads: 1 } as const;

beforeAll(async () => {
  scenes = await servedScenes();
  const { run, data, detector } = scenes;
  server = await serve(run, { ...engine, data, detector, port: 0, maxBatch: 8, maxBody: 200_000, maxPixels: 500_000 });
  model = await openModel(run, engine);
  const detecting = await openDetector(detector, { threads: 1 });
  picture = shownToModel(await detecting.detect(await detecting.prepare({ path: scenes.picture })));
  await detecting.close();
}, 120_000);
afterAll(async () => {
  await model.dispose();
  await server.close();
  scenes.remove();
});

interface Answered {
  readonly status: number;
  readonly type: string | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

async function ask(
  path: string,
  body?: unknown,
  { to = server, headers = {} }: { to?: Served; headers?: Record<string, string> } = {},
): Promise<Answered> {
  const own = { 'content-type': 'application/json', ...headers };
  const given = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  const response = await fetch(
    new URL(path, to.url),
    body === undefined ? {} : { method: 'POST', headers: own, body: given as string },
  );
  const text = await response.text();
  const type = response.headers.get('content-type');
  return { status: response.status, type, body: type?.includes('json') ? JSON.parse(text) : text };
}

const base64 = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
const rows = (values: Float32Array, width: number): number[][] =>
  Array.from({ length: values.length / width }, (_, i) => [...values.subarray(i * width, (i + 1) * width)]);
const given = () => ({ features: rows(picture.features, 13), boxes: rows(picture.boxes, 4) });
const close = (values: readonly { readonly probability: number; readonly sentence?: string }[]) =>
  values.map((one) => ({ ...one, probability: expect.closeTo(one.probability, 5) }));

describe('questions', () => {
  const question = 'what color is the circle?';

  test('are answered as openModel answers them, in whatever form the picture comes', async () => {
    const expected = { results: [{ question, answers: close(await model.answer(picture, question, { top: 3 })) }] };
    const bytes = readFileSync(scenes.picture);
    for (const form of [
      given(),
      { ...given(), features: base64(picture.features) },
      { image: bytes.toString('base64') },
    ])
      expect(await ask('/answer', { picture: form, question, top: 3 })).toMatchObject({ status: 200, body: expected });
    const query = new URLSearchParams({ question, top: '3' });
    expect(await ask(`/answer?${query.toString()}`, bytes, { headers: { 'content-type': 'image/png' } })).toMatchObject(
      {
        status: 200,
        body: expected,
      },
    );
    // The store has the same features, in float16.
    const stored = await ask('/answer', { picture: { id }, questions: [question, 'is there a star?'] });
    expect(stored.body.results.map((one: { answers: unknown[] }) => one.answers.length)).toEqual([5, 5]);
    expect(stored.body.results[0].answers[0].probability).toBeCloseTo(
      (await model.answer(picture, question))[0].probability,
      2,
    );
  });

  test('that come at the same time are computed together, with the same answers', async () => {
    const batches = async (): Promise<[number, number]> => {
      const { body } = await ask('/metrics');
      return ['sum', 'count'].map((name) =>
        Number(new RegExp(`^lxmert_batch_questions_${name} (.*)$`, 'm').exec(body as string)![1]),
      ) as [number, number];
    };
    const before = await batches();
    const questions = Array.from(
      { length: 60 },
      (_, i) => `how many ${['red', 'green', 'blue'][i % 3]} shapes number ${i}?`,
    );
    const together = await Promise.all(
      questions.map((one) => ask('/answer', { picture: given(), question: one, top: 1 + (i(one) % 4) })),
    );
    const after = await batches();
    const expected = await model.answerAll(
      questions.map((one) => ({ picture, question: one })),
      { top: 4 },
    );
    for (const [n, { status, body }] of together.entries())
      expect([status, body.results[0].answers]).toEqual([200, close(expected[n].slice(0, 1 + (n % 4)))]);
    expect(after[0] - before[0]).toBe(60);
    expect(after[1] - before[1]).toBeLessThan(60);
  });
  const i = (text: string): number => Number(/\d+/.exec(text)![0]);

  test('of matching and of explaining have the results of openModel', async () => {
    const matched = await ask('/match', { picture: given(), sentences: ['a red circle', 'a star'] });
    expect(matched.body.results).toEqual(
      close([
        { sentence: 'a red circle', probability: await model.match(picture, 'a red circle') },
        { sentence: 'a star', probability: await model.match(picture, 'a star') },
      ]),
    );
    const map = 'cross_lang_to_vision.1';
    const { body } = await ask('/explain', { picture: given(), question, answer: 'yes', map });
    const own = await model.explain(picture, question, { answer: 'yes' });
    expect(body).toMatchObject({ answer: 'yes', attention: { map, queries: 'words', keys: 'boxes' } });
    expect(body.words.map((one: { text: string }) => one.text)).toEqual(own.tokens);
    const relevance = (list: { relevance: number }[]) => list.map((one) => one.relevance);
    expect(relevance(body.words)).toEqual([...own.words].map((one) => expect.closeTo(one, 6)));
    expect(relevance(body.boxes)).toEqual([...own.boxes].map((one) => expect.closeTo(one, 6)));
    const maps = await model.attention(picture, question);
    expect(body.attention.heads.flat(2)).toEqual(
      [...maps.get(map)!.probabilities].map((one) => expect.closeTo(one, 5)),
    );
  });
});

describe('wrong requests', () => {
  const question = 'what?';
  const wrong: readonly (readonly [string, () => Promise<Answered>, number, string])[] = [
    ['no JSON', () => ask('/answer', '{"picture":'), 400, 'not valid JSON'],
    ['an empty body', () => ask('/answer', ''), 400, 'empty'],
    [
      'another media type',
      () => ask('/answer', 'a', { headers: { 'content-type': 'text/plain' } }),
      415,
      'application/json',
    ],
    ['a prototype in JSON', () => ask('/answer', '{"__proto__":{"a":1}}'), 400, 'not valid JSON'],
    ['an unknown field', () => ask('/answer', { pictur: 1 }), 400, "'pictur' is not known here"],
    [
      'a field of another type',
      () => ask('/answer', { picture: { id }, question: 3 }),
      400,
      'the body.question: expected text',
    ],
    ['no question', () => ask('/answer', { picture: { id } }), 400, 'either question or questions, and neither'],
    ['no picture', () => ask('/answer', { question }), 400, 'picture'],
    [
      'two pictures in one',
      () => ask('/answer', { picture: { id, image: 'aa' }, question }),
      400,
      '2 of them are given',
    ],
    [
      'two pictures',
      () => ask('/answer', { pictures: [{ id }, { id }], question }),
      422,
      'one picture for each question',
    ],
    ['an unknown id', () => ask('/answer', { picture: { id: '../x' }, question }), 404, "there is no picture '../x'"],
    [
      '10,000 words',
      () => ask('/answer', { picture: { id }, question: 'what '.repeat(10_000) }),
      400,
      'it has 50,000 letters; expected at most 1000',
    ],
    [
      '33 questions',
      () => ask('/answer', { picture: { id }, questions: Array<string>(33).fill('a') }),
      400,
      'it has 33 entries; expected at most 32',
    ],
    [
      'many wrong values',
      () => ask('/answer', { picture: { id }, questions: Array<number>(50_000).fill(1) }),
      400,
      'more than 10000 values',
    ],
    [
      'features of another width',
      () => ask('/answer', { picture: { features: [[1, 2]], boxes: [[0, 0, 1, 1]] }, question }),
      422,
      'it has 2 numbers; the model takes 13',
    ],
    [
      'base64 of another width',
      () => ask('/answer', { picture: { features: base64(new Float32Array(14)), boxes: [[0, 0, 1, 1]] }, question }),
      422,
      '14 numbers for 1 box; expected 13',
    ],
    [
      'what is no base64',
      () => ask('/answer', { picture: { features: '???', boxes: [[0, 0, 1, 1]] }, question }),
      400,
      'not valid base64',
    ],
    [
      'features without boxes',
      () => ask('/answer', { picture: { features: [[1]] }, question }),
      400,
      'picture.boxes: it is missing',
    ],
    [
      'a box in pixels',
      () =>
        ask('/answer', {
          picture: { ...given(), boxes: rows(picture.boxes, 4).map(() => [0, 0, 300, 200]) },
          question,
        }),
      422,
      'not pixels',
    ],
    [
      'a feature that is not finite',
      () => ask('/answer', { picture: { ...given(), features: base64(picture.features.map(() => NaN)) }, question }),
      422,
      'not finite',
    ],
    [
      'a picture that is none',
      () => ask('/answer', { picture: { image: Buffer.from('no picture').toString('base64') }, question }),
      422,
      'cannot be decoded as a picture',
    ],
    [
      'a picture that is cut',
      () =>
        ask('/answer?question=a', readFileSync(scenes.picture).subarray(0, 900), {
          headers: { 'content-type': 'image/png' },
        }),
      422,
      'cannot be decoded as a picture',
    ],
    [
      'an unknown answer',
      () => ask('/explain', { picture: { id }, question, answer: 'nothing' }),
      422,
      '"nothing" is not one of the',
    ],
    ['an unknown map', () => ask('/explain', { picture: { id }, question, map: 'language.7' }), 422, 'language.0'],
    ['an unknown address', () => ask('/answers'), 404, 'GET /openapi.json'],
    ['a broken address', () => ask('/%zz'), 400, '%zz'],
    ['an unknown picture', () => ask('/picture?id=x'), 404, 'there is no picture "x"'],
    ['a wrong count', () => ask('/pictures?count=x'), 400, 'the query.count'],
    ['a body that is too large', () => ask('/answer', ' '.repeat(300_000)), 413, 'larger than 200000 bytes'],
  ];
  test.each(wrong)('%s: a problem that says what is wrong', async (_, send, status, words) => {
    const answer = await send();
    expect(answer).toMatchObject({ status, type: expect.stringContaining('application/problem+json') });
    expect(answer.body).toMatchObject({ status, detail: expect.stringContaining(words) });
    expect(JSON.stringify(answer.body)).not.toContain('node_modules');
  });

  test('a picture with too many pixels is refused', async () => {
    const sharp = (await import('sharp')).default;
    const large = await sharp({ create: { width: 1000, height: 600, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    expect(await ask('/answer?question=a', large, { headers: { 'content-type': 'image/png' } })).toMatchObject({
      status: 422,
      body: { detail: expect.stringContaining('it has more than 500000 pixels') },
    });
  });
});

test('a model for two pictures takes two, and refuses what its weights do not have; without data it has no pictures', async () => {
  const out = join(scenes.folder, 'nlvr2');
  const flags = { data: scenes.data, train: 'train', valid: 'none', 'max-steps': '1', 'batch-size': '4', workers: '0' };
  await finetune({
    sources: {
      preset: 'tinyScratch',
      flags: { ...smallModel, ...flags, task: 'nlvr2', out, device: 'cpu', threads: '1' },
    },
  });
  await using two = await serve(out, { ...engine, port: 0 });
  const to = { to: two };
  const pictures = [given(), given()];
  const { body } = await ask('/answer', { pictures, question: 'both have a star' }, to);
  expect(body.results[0].answers).toHaveLength(2);
  const problems = [
    [await ask('/answer', { picture: given(), question: 'a' }, to), 422, 'expected pictures, a list of two'],
    [await ask('/match', { picture: given(), sentence: 'a' }, to), 501, 'no head that says whether'],
    [await ask('/explain', { picture: given(), question: 'a' }, to), 501, 'for one picture'],
    [await ask('/answer', { pictures: [{ image: 'aaaa' }, { image: 'aaaa' }], question: 'a' }, to), 501, 'no detector'],
    [await ask('/answer', { pictures: [{ id }, { id }], question: 'a' }, to), 404, '0 pictures'],
  ] as const;
  for (const [answer, status, words] of problems)
    expect(answer).toMatchObject({ status, body: { detail: expect.stringContaining(words) } });
});

/** A connection on which a test writes bytes. */
async function raw(to: Served) {
  const socket = connect(to.port, to.host);
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (some: Buffer) => (text += some.toString()));
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  return { socket, closed: async () => (await closed, text) };
}
const head = 'POST /answer HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';

describe('limits', () => {
  test('with a full queue a request is refused at once; bodies that do not arrive in time are given up', async () => {
    await using small = await serve(scenes.run, {
      ...engine,
      data: scenes.data,
      port: 0,
      maxQueue: 2,
      requestTimeout: 1.5,
    });
    const good = { picture: { id }, question: 'what?' };
    const slow = await Promise.all([raw(small), raw(small)]);
    for (const { socket } of slow) socket.write(`${head}Content-Length: 100\r\n\r\n{`);
    let refused: Answered;
    do refused = await ask('/answer', good, { to: small });
    while (refused.status === 200);
    expect(refused).toMatchObject({ status: 429, body: { detail: expect.stringContaining('2 requests are waiting') } });
    expect(await ask('/health', undefined, { to: small })).toMatchObject({ status: 200 });
    for (const { closed } of slow)
      expect(await closed()).toMatch(/^HTTP\/1.1 408 [^]*did not arrive within 1.5 seconds/);
    expect(await ask('/answer', good, { to: small })).toMatchObject({ status: 200 });
  });

  test('a body that never ends is refused at the limit', async () => {
    const { socket, closed } = await raw(server);
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    const chunk = `1000\r\n${' '.repeat(4096)}\r\n`;
    const more = (): void => {
      if (socket.writable) socket.write(chunk, (error) => (error ? undefined : void setImmediate(more)));
    };
    more();
    expect(await closed()).toMatch(/^HTTP\/1.1 413 [^]*larger than 200000 bytes/);
  });

  test('a client that goes away is counted, and the server goes on', async () => {
    const dropped = async (): Promise<number> =>
      Number(/^lxmert_dropped_requests_total (.*)$/m.exec((await ask('/metrics')).body as string)![1]);
    const before = await dropped();
    const body = JSON.stringify({ picture: { id }, questions: Array<string>(32).fill('what color is the circle?') });
    for (let n = 0; n < 5; n++) {
      const { socket } = await raw(server);
      socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`, () => socket.destroy());
      await once(socket, 'close');
    }
    while ((await dropped()) < before + 1) await new Promise((resolve) => setImmediate(resolve));
    expect(await ask('/answer', { picture: { id }, question: 'what?' })).toMatchObject({ status: 200 });
  });

  test('a server that stops answers what it has taken, and takes no more', async () => {
    const busy = await serve(scenes.run, { ...engine, data: scenes.data, port: 0, maxBatch: 1 });
    const questions = Array<string>(32).fill('what color is the circle?');
    const asked = Array.from({ length: 6 }, () => ask('/answer', { picture: { id }, questions }, { to: busy }));
    // The first metric of a batch says that the engine is at work.
    for (;;) {
      const { waiting } = (await ask('/health', undefined, { to: busy })).body as { waiting: number };
      if (waiting > 0) break;
    }
    const closing = busy.close();
    const statuses = (await Promise.all(asked.map((one) => one.catch(() => ({ status: 0 }))))).map(
      ({ status }) => status,
    );
    await closing;
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
    expect(statuses.filter((status) => ![200, 503].includes(status))).toEqual([]);
    await expect(ask('/health', undefined, { to: busy })).rejects.toThrow();
  });

  test('a port in use and an address that is not here are refused', async () => {
    await expect(serve(scenes.run, { ...engine, port: server.port })).rejects.toMatchObject({
      ...{
        code: 'BAD_ARGUMENT',
        message: expect.stringContaining(`port ${server.port} of 127.0.0.1: another program uses`),
      },
    });
    await expect(serve(scenes.run, { ...engine, host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
    });
    await expect(serve(scenes.run, { ...engine, maxBatch: 0 })).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    await expect(serve(scenes.run, { ...engine, store: join(scenes.folder, 'none') })).rejects.toMatchObject({
      code: 'FILE_MISSING',
    });
  });
});

describe('what describes the server', () => {
  test('the OpenAPI document has all routes, and their answers have its schemas', async () => {
    const { body: document } = await ask('/openapi.json');
    const schemaOf = (name: string) => z.fromJSONSchema(document.components.schemas[name]);
    const expected: Record<string, readonly [string, unknown?]> = {
      'post /answer': ['answerResult', { picture: { id }, question: 'what?' }],
      'post /match': ['matchResult', { picture: { id }, sentence: 'a star' }],
      'post /explain': ['explainResult', { picture: { id }, question: 'what?', map: 'vision.0' }],
      'get /model': ['modelResult'],
      'get /health': ['healthResult'],
      'get /pictures': ['picturesResult'],
    };
    const paths = document.paths as Record<string, Record<string, unknown>>;
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(routes.sort()).toEqual([...Object.keys(expected), 'get /metrics', 'get /picture'].sort());
    for (const [route, [schema, request]] of Object.entries(expected)) {
      const { status, body } = await ask(route.split(' ')[1], request);
      expect([route, status, schemaOf(schema).safeParse(body).error]).toEqual([route, 200, undefined]);
      if (request) {
        const requests = schemaOf(`${route.slice('post /'.length)}Request`);
        expect([route, requests.safeParse(request).error, requests.safeParse({ picture: 1 }).success]).toEqual([
          route,
          undefined,
          false,
        ]);
      }
    }
    const { body: problem } = await ask('/answer', {});
    expect(schemaOf('problem').safeParse(problem).success).toBe(true);
  });

  test('the metrics are in the form of Prometheus', async () => {
    const { body, type } = await ask('/metrics');
    expect(type).toContain('text/plain');
    const lines = (body as string).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(
      lines.filter(
        (line) => !/^[a-z_:][a-z0-9_:]*(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.e]+(Inf|NaN)?$/i.test(line),
      ),
    ).toEqual([]);
    for (const name of [
      'lxmert_requests_total{route="/answer",status="200"}',
      'lxmert_waiting_questions',
      'process_resident_memory_bytes',
    ])
      expect(body).toContain(`\n${name} `);
  });

  test('pictures are listed and shown; a picture cannot run scripts', async () => {
    const { body } = await ask('/pictures?find=valid&from=1&count=2');
    expect(body).toEqual({ total: 24, ids: ['scene_valid_00000001', 'scene_valid_00000002'] });
    const response = await fetch(new URL(`/picture?id=${id}`, server.url));
    expect(Buffer.from(await response.arrayBuffer()).equals(readFileSync(scenes.picture))).toBe(true);
    expect(response.headers.get('content-security-policy')).toMatch(/default-src 'none'.*sandbox/);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  });
});
