import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LxmertError } from '../errors.js';
import { describeValue, readFailure } from './describe.js';
import type { FeatureSource, ObjectRows } from './featureSource.js';
import { loadIntoMemory } from './memoryFeatures.js';
import { decodeBase64Text, decodeTsvLine, fieldError, parseTsvLine } from './tsvLine.js';
import type { TsvContext } from './tsvLine.js';

export interface FeatureTsvOptions {
  /** Classes that the detector knows; default 1600 objects and 400 attributes (Visual Genome). */
  readonly objectLabels?: number;
  readonly attributeLabels?: number;
  /** Decode everything once and keep it; default: when the file is under 512 MiB. */
  readonly inMemory?: boolean;
}

/** Below this a file is kept in memory unless told otherwise. */
export const IN_MEMORY_BYTES = 512 * 2 ** 20;
const CHUNK = 4 * 2 ** 20;
/** 400 boxes of 2048 floats are 4.4 MB; past this there is no line feed because the file is something else. */
const LONGEST_LINE = 256 * 2 ** 20;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** Where the images of a TSV lie. */
interface TsvIndex {
  readonly imageIds: string[];
  readonly positions: Map<string, number>;
  readonly featureDim: number;
  /** From 1; blank lines count. */
  readonly lines: number[];
  /** Byte offset and length of each image's line, and of the features in the file. */
  readonly offsets: number[];
  readonly lengths: number[];
  readonly featureOffsets: number[];
  readonly numBoxes: number[];
}

/**
 * Opens a feature TSV (the form of bottom-up-attention that LXMERT uses). The file is streamed through once, which
 * checks every line's columns and lengths; afterwards an image is one positional read. Rejects with FILE_MISSING,
 * FILE_ACCESS, or BAD_DATA naming line and field.
 */
export async function openFeatureTsv(path: string, options: FeatureTsvOptions = {}): Promise<FeatureSource> {
  const handle = await open(path).catch((error: unknown) => {
    throw readFailure(path, 'a feature TSV', error);
  });
  try {
    const limits = {
      path,
      objectLabels: options.objectLabels ?? 1600,
      attributeLabels: options.attributeLabels ?? 400,
    };
    const { size } = await handle.stat();
    const source = new TsvSource(handle, limits, await indexTsv(handle, limits));
    if (!(options.inMemory ?? size < IN_MEMORY_BYTES)) return source;
    const memory = await loadIntoMemory(source);
    await source.close();
    return memory;
  } catch (error) {
    await handle.close();
    throw error instanceof LxmertError ? error : readFailure(path, 'a feature TSV', error);
  }
}

type Limits = Omit<TsvContext, 'line'>;

async function indexTsv(handle: FileHandle, limits: Limits): Promise<TsvIndex> {
  const index: TsvIndex & { featureDim: number } = {
    imageIds: [],
    positions: new Map(),
    featureDim: 0,
    lines: [],
    offsets: [],
    lengths: [],
    featureOffsets: [],
    numBoxes: [],
  };
  for await (const { bytes, offset, line, last } of linesOf(handle, limits.path)) {
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
    const { imageId, numBoxes, featureDim } = parsed;
    const earlier = index.positions.get(imageId);
    if (earlier !== undefined) {
      throw fieldError(context, 'img_id', `${describeValue(imageId)} was already on line ${index.lines[earlier]}`);
    }
    if (index.imageIds.length === 0) index.featureDim = featureDim;
    if (featureDim !== index.featureDim) {
      throw fieldError(
        context,
        'features',
        `has ${featureDim} floats an object, line ${index.lines[0]} has ${index.featureDim}`,
      );
    }
    index.positions.set(imageId, index.imageIds.length);
    index.imageIds.push(imageId);
    index.lines.push(line);
    index.offsets.push(offset);
    index.lengths.push(bytes.length);
    index.featureOffsets.push(offset + parsed.starts[9]);
    index.numBoxes.push(numBoxes);
  }
  if (index.imageIds.length === 0) throw new LxmertError('BAD_DATA', `${limits.path}: no images in it`);
  return index;
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

async function* linesOf(handle: FileHandle, path: string): AsyncGenerator<RawLine> {
  let buffer = Buffer.allocUnsafe(CHUNK);
  let filled = 0;
  let offset = 0; // of the buffer's first byte
  let line = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, offset + filled);
    const scanned = filled;
    filled += bytesRead;
    let start = 0;
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
        yield { bytes: withoutReturn(buffer.subarray(start, filled)), offset, line: ++line, last: true };
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

class TsvSource implements FeatureSource {
  readonly path: string;
  readonly featureDim: number;
  readonly #handle: FileHandle;
  readonly #limits: Limits;
  readonly #index: TsvIndex;
  /** Buffers for lines, used again: fresh memory of this size costs as much as decoding it. */
  readonly #spare: Buffer[] = [];
  #closed: Promise<void> | undefined;

  constructor(handle: FileHandle, limits: Limits, index: TsvIndex) {
    this.path = limits.path;
    this.featureDim = index.featureDim;
    this.#handle = handle;
    this.#limits = limits;
    this.#index = index;
  }

  get numImages(): number {
    return this.#index.imageIds.length;
  }

  get imageIds(): readonly string[] {
    return this.#index.imageIds;
  }

  indexOf(imageId: string): number {
    return this.#index.positions.get(imageId) ?? -1;
  }

  numObjects(image: number): number {
    return this.#index.numBoxes[image];
  }

  async read(image: number, rows: ObjectRows, row: number): Promise<void> {
    const length = this.#index.lengths[image];
    const spare = this.#spare.pop();
    const buffer = spare !== undefined && spare.length >= length ? spare : Buffer.allocUnsafe(length);
    const line = await this.#fill(buffer.subarray(0, length), image, this.#index.offsets[image]);
    const context = this.#context(image);
    const parsed = parseTsvLine(line, context);
    if (
      parsed.imageId !== this.imageIds[image] ||
      parsed.numBoxes !== this.numObjects(image) ||
      parsed.featureDim !== this.featureDim
    ) {
      throw fieldError(context, '', 'has changed since the file was opened');
    }
    decodeTsvLine(line, parsed, context, rows, row);
    this.#spare.push(buffer);
  }

  async readFeature(image: number, object: number, features: Float32Array, offset: number): Promise<void> {
    const width = this.featureDim;
    const firstByte = object * width * 4;
    const lastByte = firstByte + width * 4;
    // Base64 goes by groups of 4 characters for 3 bytes.
    const firstGroup = Math.floor(firstByte / 3);
    const groups = Math.ceil(lastByte / 3) - firstGroup;
    const start = this.#index.featureOffsets[image] + firstGroup * 4;
    const text = (await this.#fill(Buffer.allocUnsafe(groups * 4), image, start)).toString('latin1');
    const endsFeatures = object === this.numObjects(image) - 1;
    const decoded = new Uint8Array(endsFeatures ? lastByte - firstGroup * 3 : groups * 3);
    const context = this.#context(image);
    decodeBase64Text(text, decoded, () => fieldError(context, 'features', `of object ${object} is not base64`));
    const skip = firstByte - firstGroup * 3;
    const feature = new Float32Array(decoded.slice(skip, skip + width * 4).buffer);
    const bad = feature.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw fieldError(context, 'features', `must be finite, found ${feature[bad]} for object ${object}, value ${bad}`);
    }
    features.set(feature, offset);
  }

  close(): Promise<void> {
    this.#closed ??= this.#handle.close();
    return this.#closed;
  }

  #context(image: number): TsvContext {
    return { ...this.#limits, line: this.#index.lines[image] };
  }

  /** Fills `buffer` from a place in the file. */
  async #fill(buffer: Buffer, image: number, offset: number): Promise<Buffer> {
    let filled = 0;
    try {
      while (filled < buffer.length) {
        const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, offset + filled);
        if (bytesRead === 0) {
          throw fieldError(this.#context(image), '', 'is gone: the file has become shorter since it was opened');
        }
        filled += bytesRead;
      }
    } catch (error) {
      throw error instanceof LxmertError ? error : readFailure(this.path, 'a feature TSV', error);
    }
    return buffer;
  }
}
