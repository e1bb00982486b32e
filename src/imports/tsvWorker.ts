/** The program of a thread that decodes blocks of a TSV (see `tsvSource`). */
import { threadProgram } from '../data/threads.js';
import { tsvDecoder } from './tsvBlock.js';
import type { TsvBlock, TsvItem, TsvSettings } from './tsvBlock.js';

export interface TsvRequest {
  readonly block: TsvBlock;
  /** Shared memory for features. */
  readonly output: Uint8Array;
}

export default threadProgram<{ start: TsvSettings; request: TsvRequest; result: TsvItem[] }>(async (settings) => {
  const decode = tsvDecoder(settings);
  return async ({ block, output }) => ({ content: decode(block, output) });
});
