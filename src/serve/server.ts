import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import { openApiDocument } from './openApi.js';
import { Problem, problemBody, problemOf } from './problem.js';
import { routesOf, type Asked, type Service } from './routes.js';
import type { ShownFile } from './storedPictures.js';

/** Nothing of the page may be loaded from elsewhere, and no script or style may be in the page itself. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** For all other answers: they are data, and an SVG picture must not run anything. */
const dataPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox";

const pictureTypes = ['image/jpeg', 'image/png', 'image/webp'];

export interface ServerOptions {
  readonly version: string;
  readonly onError: (error: unknown) => void;
}

export interface HttpServer {
  readonly app: FastifyInstance;
  /** Refuses new requests, answers those that have arrived, and closes all connections. */
  stop(): Promise<void>;
}

/** The HTTP server of a service. It does not listen yet. */
export function createServer(service: Service, { version, onError }: ServerOptions): HttpServer {
  const { limits, metrics } = service;
  const timeout = 1000 * limits.requestTimeout;
  let open = 0;
  let stopping = false;
  const app = fastify({
    bodyLimit: limits.maxBody,
    requestTimeout: timeout,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: true,
    http: { requestTimeout: timeout, headersTimeout: timeout, connectionsCheckingInterval: Math.min(1000, timeout) },
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, limits.requestTimeout),
    frameworkErrors: (error, _, reply) =>
      void sendProblem(reply, problemOf(error, limits) ?? new Problem(400, error.message)),
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));
  app.addContentTypeParser(pictureTypes, { parseAs: 'buffer' }, (_, body, done) => done(null, body));

  app.addHook('onRequest', async (request, reply) => {
    void reply.headers({
      'cache-control': 'no-cache',
      'content-security-policy': dataPolicy,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
    const start = performance.now();
    const route = request.routeOptions.url ?? 'unknown';
    open += 1;
    reply.raw.once('close', () => {
      open -= 1;
      if (!reply.raw.writableFinished) metrics.dropped.inc();
      metrics.requests.inc({ route, status: reply.raw.writableFinished ? reply.statusCode : 'gone' });
      metrics.requestSeconds.observe({ route }, (performance.now() - start) / 1000);
    });
    if (stopping) throw new Problem(503, 'the server is stopping');
    if (request.method === 'POST' && open > limits.maxQueue) {
      void reply.headers({ 'retry-after': '1', connection: 'close' });
      throw new Problem(
        429,
        `${limits.maxQueue} requests are waiting, the most that this server takes; ask again later`,
      );
    }
  });
  app.addHook('onSend', async (_, reply) => {
    if (stopping) void reply.header('connection', 'close');
  });
  app.setErrorHandler((error, request, reply) => {
    // The client has gone, so nobody would read the answer.
    if (reply.raw.destroyed) return reply;
    const problem = problemOf(error, limits);
    if (!problem) onError(error);
    if (problem?.status === 503) void reply.header('retry-after', '1');
    // The rest of the body may still be arriving.
    if (!request.raw.complete) void reply.header('connection', 'close');
    return sendProblem(reply, problem ?? new Problem(500, 'the server failed on this request; its log has the reason'));
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new Problem(
        404,
        `there is no ${request.method} ${request.url.slice(0, 120)}; GET /openapi.json lists what there is`,
      ),
    ),
  );

  const routes = routesOf(service.model);
  for (const { method, path, answers, handle } of routes)
    app.route({
      ...{ method, url: path },
      handler: async (request, reply) => {
        const result = await untilAborted(request, reply, (asked) => handle(service, asked));
        if (answers === 'text/plain') return reply.type(service.metrics.registry.contentType).send(result);
        return answers.includes('/') ? sendFile(reply, result as ShownFile) : reply.send(result);
      },
    });
  const document = openApiDocument(routes, service.schemas, version);
  app.get('/openapi.json', () => document);
  for (const [path, file] of service.page)
    app.get(path, (_, reply) => sendFile(reply.header('content-security-policy', pagePolicy), file));

  /** Runs a handler until it ends, its client goes away, or its time is over. */
  async function untilAborted(
    request: FastifyRequest,
    reply: FastifyReply,
    work: (asked: Asked) => unknown,
  ): Promise<unknown> {
    const controller = new AbortController();
    const { signal } = controller;
    const late = setTimeout(
      () => controller.abort(new Problem(503, `no answer within ${limits.requestTimeout} seconds; ask again later`)),
      timeout,
    );
    const gone = (): void => controller.abort(new Problem(499, 'the client has gone'));
    reply.raw.once('close', gone);
    const image = Buffer.isBuffer(request.body) ? request.body : undefined;
    try {
      return await Promise.race([
        new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
        work({ query: request.query, body: image ? undefined : request.body, image, signal }),
      ]);
    } finally {
      clearTimeout(late);
      reply.raw.off('close', gone);
    }
  }

  return {
    app,
    stop: async () => {
      stopping = true;
      // Connections may become idle after the server has begun to close. Node does not end slow requests of such a server.
      const idle = setInterval(() => app.server.closeIdleConnections(), 50);
      const force = setTimeout(() => app.server.closeAllConnections(), timeout);
      await app.close();
      clearInterval(idle);
      clearTimeout(force);
      metrics.registry.clear();
    },
  };
}

const sendFile = (reply: FastifyReply, { type, bytes }: ShownFile): FastifyReply => reply.type(type).send(bytes);

const sendProblem = (reply: FastifyReply, problem: Problem): FastifyReply =>
  reply
    .code(problem.status)
    .type('application/problem+json')
    .serializer((text: string) => text)
    .send(problemBody(problem));

/** Answers a connection whose bytes are not HTTP, or whose request did not arrive in time, and closes it. */
function refuseConnection(error: Error & { readonly code?: string }, socket: Socket, seconds: number): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const problem =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new Problem(408, `the request did not arrive within ${seconds} seconds`)
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? new Problem(431, 'the headers are too large')
        : new Problem(400, 'the bytes are not an HTTP request');
  const body = problemBody(problem);
  const reasons: Readonly<Record<number, string>> = { 408: 'Request Timeout', 431: 'Request Header Fields Too Large' };
  socket.end(
    `HTTP/1.1 ${problem.status} ${reasons[problem.status] ?? 'Bad Request'}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
