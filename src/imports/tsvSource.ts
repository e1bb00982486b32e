import { availableParallelism } from 'node:os';
import { LxmertError } from '../errors.js';
import { refuseForeign, textStart } from '../formats/text.js';
import { openThreads } from '../data/threads.js';
import type { SourceItem } from '../data/store/writeStore.js';
import type { SourcePosition } from '../data/store/workFolder.js';
import type { BytePart, ByteReader } from './byteParts.js';
import { tsvDecoder } from './tsvBlock.js';
import type { TsvBlock, TsvItem, TsvSettings } from './tsvBlock.js';
import type { TsvRequest } from './tsvWorker.js';

const BLOCK = 8 * 2 ** 20;
/** A line with 400 boxes of 2048 floats has 4.4 MB. A file with a longer line than this is no feature TSV. */
const LONGEST_LINE = 256 * 2 ** 20;
const MOST_WORKERS = 8;

export interface TsvOptions extends TsvSettings {
  readonly skipBad: boolean;
  /** Number of threads that decode. With 0 the calling thread decodes. Default: the number of cores, at most 8. */
  readonly workers?: number | undefined;
  /** The threads' program; default: `tsvWorker.js` beside this module. */
  readonly workerScript?: URL | undefined;
  /** Called with the number of bytes that were read, for progress. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** The records of some TSVs, one after the other, decoded by threads. */
export async function* tsvItems(
  parts: readonly BytePart[],
  from: SourcePosition | undefined,
  options: TsvOptions,
): AsyncGenerator<SourceItem, void, undefined> {
  const decoder = openDecoder(options);
  let records = from?.records ?? 0;
  try {
    // One block is decoded while the next is read. When the records of a block are written, its memory is used again.
    const free: Memory[] = [];
    const blocks = blocksOf(parts, from, () => free.pop());
    const decoded = aheadAsync(
      blocks,
      async (block) => ({ block, items: await decoder.decode(block.block, block.memory) }),
      decoder.ahead,
    );
    for await (const { block, items } of decoded) {
      for (const { line, end, record, fault } of items) {
        const place = `${block.block.path}: line ${line}`;
        if (fault && !options.skipBad) throw new LxmertError('BAD_DATA', fault.message);
        records++;
        const position = { records, part: block.part, offset: block.offset + end, line };
        yield fault
          ? { position, number: line, skipped: { place, image: fault.image, reason: fault.message } }
          : { position, number: line, record: record! };
      }
      options.onBytes?.(block.block.bytes.length);
      free.push(block.memory);
    }
  } finally {
    await decoder.close();
  }
}

/** Memory of a block: its text, and room for its features. */
interface Memory {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

interface PlacedBlock {
  readonly block: TsvBlock;
  readonly memory: Memory;
  readonly part: number;
  /** The position of the block's first byte in the unpacked text. */
  readonly offset: number;
}

const memoryOf = (bytes: number): Memory => ({
  input: new Uint8Array(new SharedArrayBuffer(bytes)),
  output: new Uint8Array(new SharedArrayBuffer(bytes)),
});

async function* blocksOf(
  parts: readonly BytePart[],
  from: SourcePosition | undefined,
  spare: () => Memory | undefined,
): AsyncGenerator<PlacedBlock, void, undefined> {
  const first = from?.part ?? 0;
  for (let part = first; part < parts.length; part++) {
    const start = part === first ? { offset: from?.offset ?? 0, line: from?.line ?? 0 } : { offset: 0, line: 0 };
    yield* blocksOfPart(parts[part], part, start, spare);
  }
}

async function* blocksOfPart(
  { path, open }: BytePart,
  part: number,
  from: { readonly offset: number; readonly line: number },
  spare: () => Memory | undefined,
): AsyncGenerator<PlacedBlock, void, undefined> {
  const take = (least: number): Memory => {
    const known = spare();
    return known && known.input.length >= least ? known : memoryOf(Math.max(least, BLOCK));
  };
  let memory = take(BLOCK);
  let { offset, line } = from;
  let filled = 0;
  /** Reads until the memory is full or the file ends. @returns false at the end of the file */
  const fill = async (reader: ByteReader): Promise<boolean> => {
    while (filled < memory.input.length) {
      const bytes = await reader.read(memory.input.subarray(filled));
      if (bytes === 0) return false;
      filled += bytes;
    }
    return true;
  };
  /** Position in the memory at which the text begins. It is above 0 if there is a byte order mark. */
  let start = 0;
  const blockTo = (end: number, last: boolean): PlacedBlock => {
    const bytes = memory.input.subarray(start, end);
    const block = { block: { path, bytes, line: line + 1, last }, memory, part, offset: offset + start };
    line += countLines(bytes);
    return block;
  };
  const reader = await open(offset);
  try {
    let more = await fill(reader);
    if (offset === 0) start = textBegin(memory.input.subarray(0, filled), path);
    for (; more; more = await fill(reader)) {
      const end = memory.input.lastIndexOf(0x0a, filled - 1) + 1;
      if (end > start) {
        const block = blockTo(end, false);
        const rest = memory.input.slice(end, filled);
        yield block;
        offset += end;
        start = 0;
        memory = take(memory.input.length);
        memory.input.set(rest);
        filled = rest.length;
      } else {
        if (memory.input.length >= LONGEST_LINE)
          throw new LxmertError('BAD_DATA', `${path}: line ${line + 1} is longer than 256 MiB: this is no feature TSV`);
        const larger = memoryOf(2 * memory.input.length);
        larger.input.set(memory.input);
        memory = larger;
      }
    }
    if (filled > start) yield blockTo(filled, true);
  } finally {
    await reader.close();
  }
}

/** @returns the number of bytes before the text: those of a byte order mark */
function textBegin(head: Uint8Array, path: string): number {
  const buffer = Buffer.from(head.buffer, head.byteOffset, head.length);
  refuseForeign(buffer, path, 'a feature TSV');
  return textStart(buffer);
}

function countLines(bytes: Uint8Array): number {
  let lines = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) lines++;
  return lines;
}

interface Decoder {
  readonly ahead: number;
  decode(block: TsvBlock, memory: Memory): Promise<TsvItem[]>;
  close(): Promise<void>;
}

function openDecoder({
  workers = Math.min(availableParallelism(), MOST_WORKERS),
  workerScript: script = new URL('./tsvWorker.js', import.meta.url),
  dtype,
  objectLabels,
  attributeLabels,
}: TsvOptions): Decoder {
  const settings: TsvSettings = { dtype, objectLabels, attributeLabels };
  if (workers === 0) {
    const decode = tsvDecoder(settings);
    return {
      ahead: 1,
      decode: async (block, { output }) => decode(block, output),
      close: async () => {
        // There are no threads to end.
      },
    };
  }
  const what = 'decodes features';
  const threads = openThreads<TsvRequest, TsvItem[]>({ what, script, start: settings, count: workers });
  return {
    ahead: workers + 1,
    decode: (block, { output }) => threads.run({ block, output }),
    close: () => threads.close(),
  };
}

/** Starts work on up to `depth` items at once. The results come in the order of the items. */
async function* aheadAsync<T, R>(
  items: AsyncGenerator<T, void, undefined>,
  start: (item: T) => Promise<R>,
  depth: number,
): AsyncGenerator<R, void, undefined> {
  const begun: Promise<R>[] = [];
  let ended = false;
  try {
    for (;;) {
      while (!ended && begun.length < depth) {
        const next = await items.next();
        if (next.done === true) ended = true;
        else {
          const result = start(next.value);
          result.catch(() => undefined);
          begun.push(result);
        }
      }
      const first = begun.shift();
      if (first === undefined) return;
      yield await first;
    }
  } finally {
    await Promise.allSettled(begun);
    await items.return();
  }
}
