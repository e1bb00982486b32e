import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { LxmertError } from '../errors.js';
import { openModel } from '../finetune/index.js';
import { systemCode } from '../formats/fileErrors.js';
import { openPictureDetector } from './pictureDetector.js';
import { createMetrics } from './metrics.js';
import { limitDefaults, type Limits, type ServeOptions } from './options.js';
import { pageFiles } from './page.js';
import { createQueue } from './queue.js';
import { requestSchemas } from './schemas.js';
import { createServer } from './server.js';
import { openStoredPictures } from './storedPictures.js';

/** A running server. */
export interface Served {
  /** The address of the page, such as `http://127.0.0.1:8000/`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Refuses new requests, answers those that it has taken, and releases all memory. It may be called more than once. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Objects of the published features for each picture. A batch may have so many for each of its questions. */
const objectsOfPicture = 36;

/**
 * Serves a model by HTTP: an API and a page for the browser.
 * @param path a checkpoint, a run, or weights of another form, as in `openModel`
 * @throws what `openModel` and `openDetector` throw; BAD_ARGUMENT for an address that cannot be used; FILE_MISSING, FILE_ACCESS,
 *   BAD_DATA for data that cannot be used
 */
export async function serve(path: string, options: ServeOptions = {}): Promise<Served> {
  const limits = limitsOf(options);
  const { host = '127.0.0.1', port = 8000, data, store, pictures, detector, threads } = options;
  const { device, precision, answers, attentionHeads, vocabulary, maxTokens, onNote = () => undefined } = options;
  const opened: (() => Promise<void>)[] = [];
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= (async () => {
      for (const one of opened.reverse()) await one();
    })());
  try {
    const model = await openModel(path, {
      ...{ device, precision, threads, onNote, answers, attentionHeads, vocabulary, maxTokens },
      batchSize: limits.maxBatch,
    });
    opened.push(() => model.dispose());
    const featureDim = model.config.visualFeatDim;
    const stored = await openStoredPictures({ data, store, pictures, featureDim });
    opened.push(() => stored.close());
    const pictureDetector =
      detector === undefined
        ? undefined
        : await openPictureDetector(detector, { threads, maxPixels: limits.maxPixels, featureDim });
    if (pictureDetector) opened.push(() => pictureDetector.close());
    const queue = createQueue({
      maxBatch: limits.maxBatch,
      maxObjects: limits.maxBatch * objectsOfPicture,
      onBatch: (items, seconds) => {
        metrics.batchQuestions.observe(items);
        metrics.batchSeconds.observe(seconds);
      },
    });
    opened.push(() => queue.idle());
    const metrics = createMetrics(() => queue.waiting);
    const server = createServer(
      {
        ...{ model, stored, pictureDetector, queue, metrics, limits },
        schemas: requestSchemas(limits),
        page: await pageFiles(),
      },
      {
        version: versionOfPackage(),
        onError: (error) => onNote(`a request failed: ${error instanceof Error ? error.message : String(error)}`),
      },
    );
    opened.push(() => server.stop());
    await server.app.listen({ host, port }).catch((error: unknown) => {
      throw listenError(error, host, port);
    });
    const { port: bound } = server.app.server.address() as AddressInfo;
    const name = host.includes(':') ? `[${host}]` : host;
    return { url: `http://${name}:${bound}/`, host, port: bound, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @throws BAD_ARGUMENT for a limit that is not a number above 0 */
function limitsOf(options: ServeOptions): Limits {
  const names = Object.keys(limitDefaults) as (keyof Limits)[];
  const entries = names.map((name) => {
    const value = options[name] ?? limitDefaults[name];
    const right = name === 'requestTimeout' ? value > 0 && value < 1e6 : Number.isSafeInteger(value) && value >= 1;
    if (!right) throw new LxmertError('BAD_ARGUMENT', `${name}: expected a number above 0, not ${value}`);
    return [name, value] as const;
  });
  return Object.fromEntries(entries) as Limits;
}

const listenReasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses this port; choose another port, or 0 for any free one',
  EACCES: 'this user may not use the port; choose one from 1024 on',
  EADDRNOTAVAIL: 'this machine does not have this address; 127.0.0.1 is always there, and 0.0.0.0 means all addresses',
  ENOTFOUND: 'there is no such host name',
  EAI_AGAIN: 'the host name cannot be looked up',
};

function listenError(error: unknown, host: string, port: number): LxmertError {
  const reason = listenReasons[systemCode(error) ?? ''] ?? (error instanceof Error ? error.message : String(error));
  return new LxmertError('BAD_ARGUMENT', `cannot listen on port ${port} of ${host}: ${reason}`, { cause: error });
}

const versionOfPackage = (): string =>
  (createRequire(import.meta.url)('../../package.json') as { version: string }).version;
