import { open, readdir, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { syncFolder, temporaryBeside, temporaryPrefix, writeFully } from './atomicFile.js';
import { fileError, systemCode } from './fileErrors.js';
import {
  encodeFieldStart,
  encodeOnnxFrame,
  encodeOnnxGraph,
  encodeOnnxMetadata,
  encodeOnnxTensorHead,
  onnxFields,
} from './onnx.js';
import type { OnnxModel, OnnxStoredTensor } from './onnx.js';

/** A protobuf message has at most 2^31 - 1 bytes. */
export const largestOnnxFile = 2 ** 31 - 1;

/** Values in a file of their own begin at multiples of this number of bytes, so that a program can map them. */
const alignment = 4096;

const elementBytes = { float32: 4, float16: 2, int64: 8 } as const;

/** The file with the values of a model whose graph is in `path`. */
export const dataFileOf = (path: string): string => `${path}.data`;

export interface WriteOnnxOptions {
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Whether the stored tensors go to a file of their own beside the graph. Default: only if one file is too large. */
  readonly externalData?: boolean | undefined;
  /** Called after each piece with the bytes of values written so far, and all bytes. */
  readonly onProgress?: ((done: number, all: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface WrittenOnnx {
  /** Bytes of the `.onnx`. */
  readonly bytes: number;
  /** The file with the values, and its bytes; absent if the values are in the `.onnx`. */
  readonly data?: { readonly path: string; readonly bytes: number } | undefined;
}

/**
 * Writes a model whose stored tensors are read piece by piece. Both files first get other names. At any instant `path` is
 * the complete new model, or the complete old one, or it does not exist. A file with the values of an old model is replaced
 * or removed.
 * @throws FILE_ACCESS, FILE_MISSING; BAD_ARGUMENT for a file that cannot have more than 2 GiB; what the pieces throw; the
 *   signal's reason. The unfinished files are then removed
 */
export async function writeOnnxFile(
  path: string,
  model: OnnxModel,
  stored: readonly OnnxStoredTensor[],
  options: WriteOnnxOptions = {},
): Promise<WrittenOnnx> {
  const inside = stored.map((tensor) => ({ tensor, ...insidePlace(tensor) }));
  const frame = Buffer.concat([encodeOnnxMetadata(options.metadata ?? {}), encodeOnnxFrame(model)]);
  const graph = encodeOnnxGraph(model);
  const whole = graph.length + inside.reduce((sum, { bytes }) => sum + bytes, 0);
  const external = options.externalData ?? frame.length + whole + 16 > largestOnnxFile;
  if (!external && frame.length + whole + 16 > largestOnnxFile)
    throw new LxmertError('BAD_ARGUMENT', `${path}: an ONNX file has at most 2 GiB; the values need a second file`);
  const temporary = temporaryBeside(path);
  const temporaryData = temporaryBeside(dataFileOf(path));
  const report = progressOf(stored, options);
  try {
    await removeUnfinished(path);
    const [bytes, dataBytes] = external
      ? await writeTwo(temporary, temporaryData, { frame, graph, stored, data: basename(dataFileOf(path)), report })
      : [await writeOne(temporary, { frame, graph, inside, whole, report }), undefined];
    options.signal?.throwIfAborted();
    if (dataBytes !== undefined) {
      // An old graph must not point to the new values, not even for an instant.
      await rm(path, { force: true });
      await rename(temporaryData, dataFileOf(path));
      await syncFolder(dirname(path));
    }
    await rename(temporary, path);
    if (dataBytes === undefined) await rm(dataFileOf(path), { force: true });
    await syncFolder(dirname(path));
    return { bytes, data: dataBytes === undefined ? undefined : { path: dataFileOf(path), bytes: dataBytes } };
  } catch (error) {
    for (const file of [temporary, temporaryData]) await rm(file, { force: true }).catch(() => undefined);
    if (options.signal?.aborted) throw error;
    throw fileError(error, 'write', path);
  }
}

interface Inside {
  readonly tensor: OnnxStoredTensor;
  /** What comes before the values. */
  readonly before: Uint8Array;
  /** Bytes of the whole field of the graph. */
  readonly bytes: number;
}

function insidePlace(tensor: OnnxStoredTensor): Omit<Inside, 'tensor'> {
  const length = bytesOf(tensor);
  const head = Buffer.concat([encodeOnnxTensorHead(tensor), encodeFieldStart(onnxFields.rawData, length)]);
  const before = Buffer.concat([encodeFieldStart(onnxFields.initializer, head.length + length), head]);
  return { before, bytes: before.length + length };
}

const bytesOf = ({ dims, type }: OnnxStoredTensor): number => dims.reduce((a, b) => a * b, elementBytes[type]);

interface Parts {
  readonly frame: Uint8Array;
  readonly graph: Uint8Array;
  readonly report: (bytes: number) => void;
}

async function writeOne(
  path: string,
  { frame, graph, inside, whole, report }: Parts & { readonly inside: readonly Inside[]; readonly whole: number },
): Promise<number> {
  return writing(path, async (append) => {
    await append(frame);
    await append(encodeFieldStart(onnxFields.graph, whole));
    await append(graph);
    for (const { tensor, before } of inside) {
      await append(before);
      await appendValues(append, tensor, report);
    }
  });
}

/** Writes the values to `dataPath`, and to `path` the graph, which says that they are in a file named `data`. */
async function writeTwo(
  path: string,
  dataPath: string,
  {
    frame,
    graph,
    stored,
    data,
    report,
  }: Parts & { readonly stored: readonly OnnxStoredTensor[]; readonly data: string },
): Promise<[number, number]> {
  const heads: Uint8Array[] = [];
  const dataBytes = await writing(dataPath, async (append) => {
    let offset = 0;
    for (const tensor of stored) {
      const length = bytesOf(tensor);
      const head = encodeOnnxTensorHead(tensor, { location: data, offset, length });
      heads.push(encodeFieldStart(onnxFields.initializer, head.length), head);
      await appendValues(append, tensor, report);
      const padding = (alignment - (length % alignment)) % alignment;
      await append(new Uint8Array(padding));
      offset += length + padding;
    }
  });
  const tensors = Buffer.concat(heads);
  const bytes = await writing(path, async (append) => {
    await append(frame);
    await append(encodeFieldStart(onnxFields.graph, graph.length + tensors.length));
    await append(graph);
    await append(tensors);
  });
  return [bytes, dataBytes];
}

type Append = (bytes: Uint8Array) => Promise<void>;

/** Writes a new file from its beginning to its end, and syncs it. Returns its size. */
async function writing(path: string, fill: (append: Append) => Promise<void>): Promise<number> {
  let end = 0;
  const file: FileHandle = await open(path, 'wx');
  try {
    await fill(async (bytes) => {
      await writeFully(file, bytes, end);
      end += bytes.byteLength;
    });
    await file.sync();
  } finally {
    await file.close();
  }
  return end;
}

async function appendValues(append: Append, tensor: OnnxStoredTensor, report: (bytes: number) => void): Promise<void> {
  let left = bytesOf(tensor);
  for await (const { buffer, byteOffset, byteLength } of tensor.pieces()) {
    await append(new Uint8Array(buffer, byteOffset, byteLength));
    left -= byteLength;
    report(byteLength);
  }
  if (left !== 0) throw new LxmertError('INTERNAL', `${tensor.name}: ${left} bytes of its values are missing`);
}

/** Counts the bytes of values, and stops the writing after the signal. */
function progressOf(stored: readonly OnnxStoredTensor[], { onProgress, signal }: WriteOnnxOptions) {
  const all = stored.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  let done = 0;
  return (bytes: number): void => {
    signal?.throwIfAborted();
    done += bytes;
    onProgress?.(done, all);
  };
}

/** Removes what killed processes left behind when they wrote a file of this name. */
async function removeUnfinished(path: string): Promise<void> {
  const names = [basename(path), basename(dataFileOf(path))];
  for (const name of await readdir(dirname(path))) {
    const [, target, id] = /^(.*)-(\d+)-\d+$/.exec(name) ?? [];
    const isOurs = names.some((own) => target === `${temporaryPrefix}${own}`);
    if (isOurs && !isRunning(Number(id))) await rm(join(dirname(path), name), { force: true });
  }
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== 'ESRCH';
  }
}
