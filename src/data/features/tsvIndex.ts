import type { FileHandle } from 'node:fs/promises';
import { LxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import { textStart } from '../../formats/text.js';
import { describeValue } from '../../formats/describe.js';
import type { TsvIndex } from './featureSource.js';
import { Growable } from '../growable.js';
import { sharedArrays } from '../sharedArrays.js';
import { fieldError, parseTsvLine } from './tsvLine.js';
import type { TsvContext } from './tsvLine.js';

const CHUNK = 4 * 2 ** 20;
/** 400 boxes of 2048 floats are 4.4 MB; past this there is no line feed because the file is something else. */
const LONGEST_LINE = 256 * 2 ** 20;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** What one pass over a TSV finds. */
export interface IndexedTsv {
  readonly imageIds: readonly string[];
  /** Position of each image id. */
  readonly positions: ReadonlyMap<string, number>;
  readonly featureDim: number;
  readonly index: TsvIndex;
}

/**
 * Streams a TSV through once and checks all that needs no decoding. Rejects with BAD_DATA naming line and field,
 * FILE_ACCESS, and the signal's reason.
 */
export async function indexTsv(
  handle: FileHandle,
  limits: Omit<TsvContext, 'line'>,
  signal?: AbortSignal,
): Promise<IndexedTsv> {
  const imageIds: string[] = [];
  const positions = new Map<string, number>();
  let width = 0;
  const lines = new Growable(sharedArrays.uint32);
  const offsets = new Growable(sharedArrays.float64);
  const lengths = new Growable(sharedArrays.uint32);
  const featureOffsets = new Growable(sharedArrays.float64);
  const numBoxes = new Growable(sharedArrays.int32);
  const ids = new Growable(sharedArrays.uint8);
  const idOffsets = new Growable(sharedArrays.uint32);
  const lineOf = (image: number) => lines.at(image);
  idOffsets.push(0);
  for await (const { bytes, offset, line, last } of linesOf(handle, limits.path, signal)) {
    if (bytes.length === 0) continue;
    const context = { ...limits, line };
    let parsed;
    try {
      parsed = parseTsvLine(bytes, context);
    } catch (error) {
      if (!last || !(error instanceof LxmertError)) throw error;
      throw new LxmertError(
        'BAD_DATA',
        `${error.message}; the last line has no line feed: the file is probably cut off`,
      );
    }
    const { imageId, featureDim, starts } = parsed;
    const earlier = positions.get(imageId);
    if (earlier !== undefined) {
      throw fieldError(context, 'img_id', `${describeValue(imageId)} was already on line ${lineOf(earlier)}`);
    }
    if (imageIds.length === 0) width = featureDim;
    if (featureDim !== width) {
      throw fieldError(context, 'features', `has ${featureDim} floats an object, line ${lineOf(0)} has ${width}`);
    }
    positions.set(imageId, imageIds.length);
    imageIds.push(imageId);
    lines.push(line);
    offsets.push(offset);
    lengths.push(bytes.length);
    featureOffsets.push(offset + starts[9]);
    numBoxes.push(parsed.numBoxes);
    ids.append(bytes.subarray(0, starts[1] - 1));
    idOffsets.push(ids.length);
  }
  if (imageIds.length === 0) throw new LxmertError('BAD_DATA', `${limits.path}: no images in it`);
  return {
    imageIds,
    positions,
    featureDim: width,
    index: {
      lines: lines.finish(),
      offsets: offsets.finish(),
      lengths: lengths.finish(),
      featureOffsets: featureOffsets.finish(),
      numBoxes: numBoxes.finish(),
      ids: ids.finish(),
      idOffsets: idOffsets.finish(),
    },
  };
}

interface RawLine {
  /** Without line feed and carriage return; valid until the next line is asked for. */
  readonly bytes: Buffer;
  readonly offset: number;
  /** From 1. */
  readonly line: number;
  /** The file ends here without a line feed. */
  readonly last: boolean;
}

async function* linesOf(handle: FileHandle, path: string, signal?: AbortSignal): AsyncGenerator<RawLine> {
  let buffer = Buffer.allocUnsafe(CHUNK);
  let filled = 0;
  let offset = 0; // of the buffer's first byte
  let line = 0;
  for (;;) {
    const { bytesRead } = await handle
      .read(buffer, filled, buffer.length - filled, offset + filled)
      .catch((error: unknown) => {
        throw readFailure(path, 'a feature TSV', error);
      });
    signal?.throwIfAborted();
    const scanned = filled;
    filled += bytesRead;
    let start = offset === 0 ? textStart(buffer.subarray(0, filled)) : 0;
    for (
      let end = buffer.subarray(0, filled).indexOf(LINE_FEED, scanned);
      end >= 0;
      end = buffer.subarray(0, filled).indexOf(LINE_FEED, start)
    ) {
      yield { bytes: withoutReturn(buffer.subarray(start, end)), offset: offset + start, line: ++line, last: false };
      start = end + 1;
    }
    if (bytesRead === 0) {
      if (filled > start) {
        yield {
          bytes: withoutReturn(buffer.subarray(start, filled)),
          offset: offset + start,
          line: ++line,
          last: true,
        };
      }
      return;
    }
    buffer.copyWithin(0, start, filled);
    filled -= start;
    offset += start;
    if (filled < buffer.length) continue;
    if (buffer.length >= LONGEST_LINE) {
      throw new LxmertError('BAD_DATA', `${path}: line ${line + 1} is longer than 256 MiB: this is no feature TSV`);
    }
    buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
  }
}

const withoutReturn = (line: Buffer) => (line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line);
