/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createRandom } from '../../src/scenes/random.js';
import { serve, type Served } from '../../src/serve/index.js';
import { servedScenes, type ServedScenes } from './support.js';

let scenes: ServedScenes;
let server: Served;
const notes: string[] = [];
beforeAll(async () => {
  scenes = await servedScenes();
  const { run, data, detector } = scenes;
  const limits = { maxBody: 100_000, requestTimeout: 20 };
  server = await serve(run, {
    ...limits,
    data,
    detector,
    device: 'cpu',
    threads: 1,
    port: 0,
    onNote: (text) => notes.push(text),
  });
}, 120_000);
afterAll(async () => {
  await server.close();
  scenes.remove();
});

const random = createRandom(42, 7);
const below = (end: number): number => Math.floor(random.uniform() * end);
const bytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, () => below(256)));
const pick = <T>(list: readonly T[]): T => list[below(list.length)];

const paths = ['/answer', '/match', '/explain'] as const;
const good = { picture: { id: 'scene_valid_00000000' }, question: 'what?', sentence: 'a star', top: 3 };
const odd: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  0.5,
  '',
  '\u0000',
  '\ud800',
  'x'.repeat(5000),
  [],
  {},
  [[]],
  [null],
  [[[1]]],
  { id: {} },
  { image: 3 },
];
const boxes = [[0, 0, 1, 1]];

/** A JSON value that is not a request, or is one with wrong values. */
function oddJson(): unknown {
  const features = pick<unknown>([
    [[1e300]],
    [Array(13).fill(1e39)],
    [Array(13).fill('a')],
    'AAAA',
    '!!',
    Array(2000).fill([1]),
  ]);
  const parts: readonly (() => unknown)[] = [
    () => pick(odd),
    () => ({ ...good, [pick(Object.keys(good))]: pick(odd) }),
    () => ({ ...good, [pick(['method', 'map', 'answer', 'questions', 'pictures', 'x'])]: pick(odd) }),
    () => ({
      question: 'a',
      picture: { features, boxes: pick<unknown>([boxes, [[1, 2, 3]], [[-1, 0, 9, 9]], 'a', [[NaN]]]) },
    }),
    () => ({ question: 'a', picture: { image: bytes(below(300)).toString('base64') } }),
    () => ({ question: bytes(50).toString('latin1'), picture: { id: bytes(9).toString('latin1') } }),
  ];
  return pick(parts)();
}

/** Changes some bytes, or cuts the end off. */
function damaged(whole: Buffer): Buffer {
  const copy = Buffer.from(whole);
  for (let i = 0; i < 1 + below(8); i++) copy[below(copy.length)] = below(256);
  return random.uniform() < 0.5 ? copy : copy.subarray(0, below(copy.length));
}

const request = (path: string, type: string, body: Buffer, length = body.length): Buffer =>
  Buffer.concat([
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`,
    ),
    body,
  ]);
const json = (body: Buffer, length?: number): Buffer => request(pick(paths), 'application/json', body, length);

/** What is sent on one connection, and whether the client goes away at once. */
function malformed(picture: Buffer): { readonly sent: Buffer; readonly leaves: boolean } {
  const text = Buffer.from(JSON.stringify(good));
  const imageType = () => pick(['image/png', 'image/jpeg', 'image/webp']);
  const kinds: readonly (() => { sent: Buffer; leaves?: boolean })[] = [
    () => ({ sent: json(Buffer.from(JSON.stringify(oddJson()))) }),
    () => ({ sent: json(damaged(text)) }),
    () => ({ sent: json(Buffer.from(pick(['[', '{"a":']).repeat(below(15_000) + 1))) }),
    () => ({ sent: request(`${pick(paths)}?question=a&sentence=b`, imageType(), damaged(picture)) }),
    () => ({ sent: request(`/answer?${encodeURI(bytes(20).toString('latin1'))}`, imageType(), bytes(below(500))) }),
    () => ({ sent: json(text, pick([0, 5, 101_000, -1, NaN, 2 ** 53])), leaves: true }),
    () => ({
      sent: request(
        pick(paths),
        bytes(12)
          .toString('latin1')
          .replace(/[\r\n]/g, ' '),
        text,
      ),
    }),
    () => ({ sent: damaged(json(text)), leaves: true }),
    () => ({ sent: Buffer.from(`GET /${bytes(30).toString('latin1')} HTTP/1.1\r\n\r\n`, 'latin1') }),
    () => ({
      sent: Buffer.from(
        `GET /health HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(below(40_000))}\r\nConnection: close\r\n\r\n`,
      ),
    }),
    () => ({ sent: bytes(below(400) + 1), leaves: true }),
    () => ({
      sent: Buffer.from(
        'POST /answer HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      ),
    }),
  ];
  const { sent, leaves = false } = pick(kinds)();
  return { sent, leaves };
}

/** Sends bytes and returns the answer; an empty text if there is none. */
async function send({ sent, leaves }: { readonly sent: Buffer; readonly leaves: boolean }): Promise<string> {
  const socket = connect(server.port, server.host);
  let text = '';
  socket.on('data', (some: Buffer) => (text += some.toString('latin1')));
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  socket.write(sent);
  if (leaves) socket.end();
  await closed;
  return text;
}

test('a thousand malformed requests leave the server serving', async () => {
  const picture = readFileSync(scenes.picture).subarray(0, 60_000);
  const statuses = new Map<number, number>();
  const wrong: string[] = [];
  for (let done = 0; done < 1000; done += 25) {
    const all = Array.from({ length: 25 }, () => malformed(picture));
    for (const [i, text] of (await Promise.all(all.map(send))).entries()) {
      const status = Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? 0);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const isProblem = /content-type: application\/problem\+json/i.test(text) && /"detail":"/.test(text);
      const right = status === 0 ? all[i].leaves : status < 300 || (status !== 500 && isProblem);
      if (!right) wrong.push(`${all[i].sent.toString('latin1').slice(0, 300)} => ${text.slice(0, 600)}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(notes.filter((note) => note.includes('failed'))).toEqual([]);
  // All kinds of refusals occur, and some damaged requests are still right ones.
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 400, 404, 413, 415, 422, 431]));
  const response = await fetch(new URL('/answer', server.url), {
    ...{
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ picture: good.picture, question: 'what?' }),
    },
  });
  expect(response.status).toBe(200);
});
