import { parentPort, workerData } from 'node:worker_threads';
import { sendError } from './workerMessages.js';
import type { Parcel, WorkerReply } from './workerMessages.js';

/** What goes to and fro: at the beginning, for a piece of work, and back. */
interface WorkTypes {
  readonly start: unknown;
  readonly request: unknown;
  readonly result: unknown;
}

/**
 * Makes this thread one of `WorkerThreads`: begins with what it was given, then does the work that it is sent, a piece
 * at a time, until it is ended. What goes wrong in either is the answer to every piece that it concerns.
 */
export function serveWork<T extends WorkTypes>(
  begin: (start: T['start']) => Promise<(request: T['request']) => Promise<Parcel<T['result']>>>,
): void {
  const port = parentPort;
  if (port === null) return;
  const begun = begin(workerData as T['start']);
  // Every request tells of it.
  begun.catch(() => undefined);
  const answer = async (request: T['request']): Promise<void> => {
    const work = await begun;
    const { content, memory = [] } = await work(request);
    port.postMessage({ result: content } satisfies WorkerReply<T['result']>, memory);
  };
  port.on('message', (request: T['request']) => {
    answer(request).catch((error: unknown) =>
      port.postMessage({ error: sendError(error) } satisfies WorkerReply<T['result']>),
    );
  });
}
