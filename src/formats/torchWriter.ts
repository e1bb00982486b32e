import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LxmertError } from '../errors.js';
import { syncFolder, temporaryBeside, writeFully } from './atomicFile.js';
import { dtypes } from './dtypes.js';
import type { Dtype, TensorValues } from './dtypes.js';
import { fileError } from './fileErrors.js';
import { elementCount } from './safetensorsHeader.js';

/** A tensor to write. */
export interface TorchTensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** The name of an earlier tensor that has the same elements, which are then stored once. */
  readonly sharedWith?: string | undefined;
}

/** Classes of torch that store the element types. */
const typeNames: Partial<Record<Dtype, string>> = { F32: 'FloatStorage', F16: 'HalfStorage', BF16: 'BFloat16Storage' };

/**
 * Writes a dict of tensors in the form that `torch.save` wrote before 1.6. Every version of PyTorch reads this form,
 * including the versions of 2019 that the original needs. At any instant the path has the complete old file or the
 * complete new file.
 * @param pieces gives the values of one tensor at a time; each piece is valid only until the next piece
 * @throws BAD_ARGUMENT for a name that is given twice or values of another length; FILE_ACCESS; the errors of `pieces`
 */
export async function writeTorchFile(
  path: string,
  specs: readonly TorchTensorSpec[],
  dtype: 'F32' | 'F16' | 'BF16',
  pieces: (name: string) => AsyncIterable<TensorValues>,
): Promise<void> {
  const keys = storageKeys(specs);
  const temporary = temporaryBeside(path);
  try {
    const file = await open(temporary, 'wx');
    try {
      const head = Buffer.concat([
        pickled(longOpcode(0x1950a86a20f9469cfc6cn)),
        pickled(intOpcode(1001)),
        pickled(machine()),
        pickled(stateDict(specs, keys, typeNames[dtype]!)),
        pickled(list([...new Set(keys.values())].map(text))),
      ]);
      await writeFully(file, head, 0);
      let at = head.byteLength;
      for (const { name, shape, sharedWith } of specs) {
        if (sharedWith !== undefined) continue;
        const elements = elementCount(shape);
        const count = Buffer.alloc(8);
        count.writeBigInt64LE(BigInt(elements));
        await writeFully(file, count, at);
        at += 8;
        const end = at + elements * dtypes[dtype].bytes;
        for await (const values of pieces(name)) {
          if (values.BYTES_PER_ELEMENT !== dtypes[dtype].bytes || at + values.byteLength > end)
            throw new LxmertError('BAD_ARGUMENT', `the values of tensor '${name}' are not ${elements} of ${dtype}`);
          await writeFully(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
          at += values.byteLength;
        }
        if (at !== end) throw new LxmertError('BAD_ARGUMENT', `tensor '${name}' has fewer than ${elements} values`);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, 'write', path);
  }
}

/** The key of each tensor's storage, by name. */
function storageKeys(specs: readonly TorchTensorSpec[]): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const { name, sharedWith } of specs) {
    if (keys.has(name)) throw new LxmertError('BAD_ARGUMENT', `two tensors have the name '${name}'`);
    const key = sharedWith === undefined ? String(keys.size) : keys.get(sharedWith);
    if (key === undefined)
      throw new LxmertError('BAD_ARGUMENT', `'${name}' shares '${sharedWith}', which is not before it`);
    keys.set(name, key);
  }
  return keys;
}

// Opcodes of pickle protocol 2, as `pickletools` names them.

const pickled = (body: Buffer) => Buffer.concat([Buffer.from([0x80, 2]), body, Buffer.from('.')]);

/** Encodes a text with opcode BINUNICODE. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  const head = Buffer.alloc(5, 'X');
  head.writeUInt32LE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

/** Encodes an integer with opcode BININT, or LONG1 if it needs more than 32 bits. */
function intOpcode(value: number): Buffer {
  if (value > 0x7fffffff) return longOpcode(BigInt(value));
  const bytes = Buffer.alloc(5, 'J');
  bytes.writeInt32LE(value, 1);
  return bytes;
}

/** Encodes an integer with opcode LONG1, in two's complement. */
function longOpcode(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.push(Number(rest & 0xffn));
  if (bytes.length === 0 || bytes[bytes.length - 1] > 0x7f) bytes.push(0);
  return Buffer.from([0x8a, bytes.length, ...bytes]);
}

const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
const tuple = (items: readonly Buffer[]) => Buffer.concat([Buffer.from('('), ...items, Buffer.from('t')]);
const list = (items: readonly Buffer[]) => Buffer.concat([Buffer.from(']('), ...items, Buffer.from('e')]);
const dict = (pairs: readonly (readonly [string, Buffer])[]) =>
  Buffer.concat([Buffer.from('}('), ...pairs.flatMap(([key, value]) => [text(key), value]), Buffer.from('u')]);

/** An empty OrderedDict: opcodes GLOBAL, EMPTY_TUPLE, REDUCE. */
const orderedDict = Buffer.concat([global('collections', 'OrderedDict'), Buffer.from(')R')]);

/** The description of the writing machine, which the legacy form has. */
const machine = () =>
  dict([
    ['protocol_version', intOpcode(1001)],
    ['little_endian', Buffer.from([0x88])],
    [
      'type_sizes',
      dict([
        ['short', intOpcode(2)],
        ['int', intOpcode(4)],
        ['long', intOpcode(4)],
      ]),
    ],
  ]);

function stateDict(specs: readonly TorchTensorSpec[], keys: ReadonlyMap<string, string>, type: string): Buffer {
  const items = specs.map(({ name, shape }) => {
    const count = elementCount(shape);
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const id = tuple([
      text('storage'),
      global('torch', type),
      text(keys.get(name)!),
      text('cpu'),
      intOpcode(count),
      Buffer.from('N'),
    ]);
    const tensor = tuple([
      Buffer.concat([id, Buffer.from('Q')]),
      intOpcode(0),
      tuple(shape.map(intOpcode)),
      tuple(strides.map(intOpcode)),
      Buffer.from([0x89]),
      orderedDict,
    ]);
    return Buffer.concat([text(name), global('torch._utils', '_rebuild_tensor_v2'), tensor, Buffer.from('R')]);
  });
  return Buffer.concat([orderedDict, Buffer.from('('), ...items, Buffer.from('u')]);
}
