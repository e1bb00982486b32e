import type { FileHandle } from 'node:fs/promises';
import { LxmertError, isLxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import { describeValue } from '../../formats/describe.js';
import { counted } from '../../figures.js';
import { refuseForeign, textStart } from '../../formats/text.js';
import { allocateObjectRows } from './featureSource.js';
import type { TsvIndex } from './featureSource.js';
import { Growable } from '../growable.js';
import { sharedArrays } from '../sharedArrays.js';
import { fieldError } from './tsvColumns.js';
import type { TsvContext } from './tsvColumns.js';
import { parseTsvLine } from './tsvLine.js';
import type { TsvLine } from './tsvLine.js';
import { decodeDetections, decodeFeatures, sharesProblem, withinOnePixel } from './tsvValues.js';
import type { BoxFacts, Detections } from './tsvValues.js';

const CHUNK = 4 * 2 ** 20;
/** Longest line. A line with 400 boxes of 2048 floats has 4.4 MB. If a line is longer, the file is not a feature TSV. */
const LONGEST_LINE = 256 * 2 ** 20;
/** Number of images whose features are decoded when the file is opened. */
const IMAGES_LOOKED_AT = 4;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** The result of one pass over a TSV. */
export interface IndexedTsv {
  readonly imageIds: readonly string[];
  /** Position of each image id. */
  readonly positions: ReadonlyMap<string, number>;
  readonly featureDim: number;
  readonly index: TsvIndex;
  /** Remarks about properties of the file that are unusual but may be right. */
  readonly remarks: readonly string[];
}

/**
 * Called if the line of an image is damaged. If it returns true, reading continues. The line is then skipped, or the error
 * is thrown when the image is read.
 */
export type MayFail = (imageId: string, error: LxmertError) => boolean;

export interface IndexOptions {
  readonly mayFail?: MayFail | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a TSV once and checks all its data except the values of features, which are most of the file. Rejects with
 * BAD_DATA naming line, field and image, FILE_ACCESS, or the signal's reason.
 */
export async function indexTsv(
  handle: FileHandle,
  limits: Omit<TsvContext, 'line' | 'imageId'>,
  { mayFail, signal }: IndexOptions = {},
): Promise<IndexedTsv> {
  const imageIds: string[] = [];
  const positions = new Map<string, number>();
  const lines = new Growable(sharedArrays.uint32);
  const offsets = new Growable(sharedArrays.float64);
  const lengths = new Growable(sharedArrays.uint32);
  const featureOffsets = new Growable(sharedArrays.float64);
  const numBoxes = new Growable(sharedArrays.int32);
  const ids = new Growable(sharedArrays.uint8);
  const idOffsets = new Growable(sharedArrays.uint32);
  const widths = new WidthCheck();
  const boxes = new BoxSummary(limits);
  const detections = new Scratch();
  let unterminated = false;
  const take = ({ bytes, offset, line }: RawLine): void => {
    const context = { ...limits, line };
    const parsed = parseTsvLine(bytes, context);
    const { imageId, featureDim, starts } = parsed;
    const named = { ...context, imageId };
    const earlier = positions.get(imageId);
    if (earlier !== undefined) {
      throw fieldError(context, 'img_id', `${describeValue(imageId)} was already on line ${lines.at(earlier)}`);
    }
    if (!widths.add(featureDim, named, (error) => mayFail?.(imageId, error) ?? false)) return;
    try {
      boxes.add(decodeDetections(bytes, parsed, context, detections.rows(parsed.numBoxes), 0), parsed, line);
      // The first images show whether the file has numbers of another type.
      if (imageIds.length < IMAGES_LOOKED_AT)
        decodeFeatures(bytes, parsed, context, new Float32Array(parsed.numBoxes * featureDim));
    } catch (error) {
      if (!isLxmertError(error) || !mayFail?.(imageId, error)) throw error;
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
  };
  idOffsets.push(0);
  for await (const raw of linesOf(handle, limits.path, signal)) {
    if (raw.bytes.length === 0) continue;
    unterminated = raw.last;
    try {
      take(raw);
    } catch (error) {
      if (!isLxmertError(error)) throw error;
      if (mayFail?.(idOf(raw.bytes), error)) continue;
      throw raw.last ? cutOff(error) : error;
    }
  }
  if (imageIds.length === 0) throw new LxmertError('BAD_DATA', `${limits.path}: no images in it`);
  widths.finish(unterminated);
  return {
    imageIds,
    positions,
    featureDim: widths.width,
    index: {
      lines: lines.finish(),
      offsets: offsets.finish(),
      lengths: lengths.finish(),
      featureOffsets: featureOffsets.finish(),
      numBoxes: numBoxes.finish(),
      ids: ids.finish(),
      idOffsets: idOffsets.finish(),
    },
    remarks: [
      ...boxes.remarks(),
      ...(unterminated && imageIds.length === 1
        ? ['its only line has no line feed at the end: the file may be cut off']
        : []),
    ],
  };
}

/** The first column of a line. The other columns may be damaged. */
const idOf = (line: Buffer) => line.toString('utf8', 0, Math.max(0, line.indexOf(0x09)));

const cutOff = (error: LxmertError) =>
  new LxmertError(error.code, `${error.message}; the last line has no line feed: the file is probably cut off`, {
    cause: error,
  });

type FileLimits = Omit<TsvContext, 'line' | 'imageId'>;
type NamedLine = FileLimits & { readonly line: number; readonly imageId: string };

/** Checks that the features of all images have the same width, and reports the line that differs from the others. */
class WidthCheck {
  #first: (NamedLine & { readonly width: number }) | undefined;
  #images = 0;
  /** The second image, if its width differs from that of the first. The third image shows which of the two is wrong. */
  #second: (NamedLine & { readonly width: number }) | undefined;

  get width(): number {
    return this.#first?.width ?? 0;
  }

  /** Returns false if the width of the image is wrong and `isTolerated` allows to skip the image. */
  add(width: number, place: NamedLine, isTolerated: (error: LxmertError) => boolean): boolean {
    this.#images++;
    const here = { ...place, width };
    this.#first ??= here;
    if (this.#second)
      throw width === this.#second.width ? differs(this.#first, here) : differs(this.#second, this.#first);
    if (width === this.#first.width) return true;
    const error = differs(here, this.#first);
    if (isTolerated(error)) return false;
    if (this.#images > 2) throw error;
    this.#second = here;
    return true;
  }

  /** @param unterminated whether the last line has no line feed */
  finish(unterminated: boolean): void {
    if (!this.#second || !this.#first) return;
    const error = differs(this.#second, this.#first);
    throw unterminated ? cutOff(error) : error;
  }
}

const differs = (
  one: NamedLine & { readonly width: number },
  other: { readonly line: number; readonly width: number },
) => fieldError(one, 'features', `has ${one.width} floats an object, line ${other.line} has ${other.width}`);

/** Smallest number of objects from which conclusions about a file are drawn. */
const TELLING = 100;

/** Properties of all boxes of a file. */
class BoxSummary {
  readonly #limits: FileLimits;
  #objects = 0;
  #largest = 0;
  #side = 0;
  #asSizes = true;
  #flat = 0;
  #firstFlat: number | undefined;
  #firstLine: number | undefined;

  constructor(limits: FileLimits) {
    this.#limits = limits;
  }

  add({ largest, flat, asSizes }: BoxFacts, { numBoxes, width, height }: TsvLine, line: number): void {
    this.#firstLine ??= line;
    this.#objects += numBoxes;
    this.#largest = Math.max(this.#largest, largest);
    this.#side = Math.max(this.#side, width, height);
    this.#asSizes &&= asSizes;
    this.#flat += flat;
    if (flat > 0) this.#firstFlat ??= line;
  }

  /** Returns remarks. Throws BAD_DATA if all boxes of the file are within one pixel. */
  remarks(): string[] {
    if (this.#firstLine !== undefined && withinOnePixel(this.#largest) && this.#side > 2) {
      throw fieldError(
        { ...this.#limits, line: this.#firstLine },
        'boxes',
        `and those of all other lines ${sharesProblem}`,
      );
    }
    return [
      ...(this.#flat > 0
        ? [`${counted(this.#flat, 'box', 'boxes')} without area (first on line ${this.#firstFlat})`]
        : []),
      ...(this.#asSizes && this.#objects >= TELLING && this.#flat < this.#objects
        ? ['every box would fit as x, y, width, height, too; x0, y0, x1, y1 are needed']
        : []),
    ];
  }
}

/** Memory for the detections of one line, which is used again for later lines. */
class Scratch {
  #rows: Detections = detectionsOf(100);

  rows(objects: number): Detections {
    if (objects > this.#rows.objectIds.length) this.#rows = detectionsOf(objects);
    return this.#rows;
  }
}

const detectionsOf = (objects: number): Detections => allocateObjectRows(objects, 0);

interface RawLine {
  /** The line without line feed and carriage return; valid until the next line is requested. */
  readonly bytes: Buffer;
  readonly offset: number;
  /** The line number, from 1. */
  readonly line: number;
  /** Whether the file ends after this line, without a line feed. */
  readonly last: boolean;
}

async function* linesOf(handle: FileHandle, path: string, signal?: AbortSignal): AsyncGenerator<RawLine> {
  let buffer = Buffer.allocUnsafe(CHUNK);
  let filled = 0;
  let offset = 0; // position of the buffer's first byte in the file
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
    if (offset === 0 && scanned === 0) refuseForeign(buffer.subarray(0, filled), path, 'a feature TSV');
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
