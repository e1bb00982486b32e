/**
 * The contents of pickles that `torch.save` writes: dicts, numbers and texts, and tensors as views of named storages. The
 * list of globals is fixed. Every other global is refused with a message that has its name.
 */
import { dtypes } from './dtypes.js';
import type { Dtype } from './dtypes.js';
import { PickleDict, PickleFault, PickleFloat, PickleGlobal, PickleObject, PickleTuple } from './pickle.js';
import type { PickleHooks, PickleValue } from './pickle.js';
import { elementCount } from './safetensorsHeader.js';
import { shown } from './shown.js';

/** Element types by the class of torch that stores them. */
const storageTypes = new Map<string, Dtype>([
  ['DoubleStorage', 'F64'],
  ['FloatStorage', 'F32'],
  ['HalfStorage', 'F16'],
  ['BFloat16Storage', 'BF16'],
  ['LongStorage', 'I64'],
  ['IntStorage', 'I32'],
  ['ShortStorage', 'I16'],
  ['CharStorage', 'I8'],
  ['ByteStorage', 'U8'],
  ['BoolStorage', 'BOOL'],
]);

/** Names such as `torch.float32`, which trainers may save beside the weights. */
const torchDtypes = new Set(
  'float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool double float half long int short'.split(' '),
);

/** A contiguous list of elements that the file stores under a key. */
export interface TorchStorage {
  readonly key: string;
  readonly dtype: Dtype;
  /** Number of elements. */
  readonly count: number;
}

/** A tensor as the pickle describes it: a view of a storage. Sizes, strides and offset are in elements, and checked. */
export class TorchTensor extends PickleObject {
  readonly kind = 'tensor';

  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** Number of elements. */
    readonly count: number,
  ) {
    super();
  }

  /** Whether its elements are adjacent in the storage, in row-major order. */
  get contiguous(): boolean {
    let step = 1;
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      if (this.shape[axis] !== 1 && this.strides[axis] !== step) return this.count === 0;
      step *= this.shape[axis];
    }
    return true;
  }

  /** Number of elements of the storage from the tensor's first element to its last, including both. */
  get span(): number {
    if (this.count === 0) return 0;
    return 1 + this.shape.reduce((sum, size, axis) => sum + (size - 1) * this.strides[axis], 0);
  }
}

class StorageReference extends PickleObject {
  readonly kind = 'storage';

  constructor(readonly storage: TorchStorage) {
    super();
  }
}

/** An object of torch that is not a tensor: a device, a size, or an element type. It is ignored. */
class Ignored extends PickleObject {
  readonly kind = 'other';
}

/** Makes the hooks for one file, and the list of storages that its pickles have named. */
export function torchHooks(): { readonly hooks: PickleHooks; readonly storages: ReadonlyMap<string, TorchStorage> } {
  const storages = new Map<string, TorchStorage>();
  const hooks: PickleHooks = {
    allows: (module, name) => calls.has(`${module}.${name}`) || isTypeName(module, name),
    call: (global, args) => {
      const make = calls.get(global.fullName);
      if (!make) throw new PickleFault(`it calls ${global.fullName}, which is no function`);
      return make(args);
    },
    persistent: (id) => {
      const storage = parseStorage(id);
      const known = storages.get(storage.key);
      if (known && (known.dtype !== storage.dtype || known.count !== storage.count))
        throw new PickleFault(
          `it names the storage ${shown(storage.key)} as ${known.count} of ${known.dtype} and as ${storage.count} of ${storage.dtype}`,
        );
      storages.set(storage.key, known ?? storage);
      return new StorageReference(known ?? storage);
    },
  };
  return { hooks, storages };
}

function isTypeName(module: string, name: string): boolean {
  return module === 'torch' && (storageTypes.has(name) || torchDtypes.has(name));
}

const calls = new Map<string, (args: readonly PickleValue[]) => PickleValue>([
  ['collections.OrderedDict', orderedDict],
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ['torch.Size', () => new Ignored()],
  ['torch.device', () => new Ignored()],
  // In protocol 2, bytes are written as a text with one character for each byte.
  ['_codecs.encode', encodeLatin1],
]);

function orderedDict(args: readonly PickleValue[]): PickleDict {
  const dict = new PickleDict();
  if (args.length === 0) return dict;
  // Python 2 writes a list of pairs: [[key, value], …].
  const [list] = args;
  if (args.length > 1 || !Array.isArray(list)) throw new PickleFault('an OrderedDict is not made of a list of pairs');
  for (const pair of list) {
    const items: readonly PickleValue[] = pair instanceof PickleTuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (items.length !== 2) throw new PickleFault('an OrderedDict is not made of pairs');
    dict.pairs.push([items[0], items[1]]);
  }
  return dict;
}

/** The arguments are (storage, offset, size, stride) and, in version 2, (requires_grad, hooks). */
function rebuildTensor([reference, offset, size, stride, , hooks]: readonly PickleValue[]): TorchTensor {
  if (!(reference instanceof StorageReference)) throw new PickleFault('a tensor is made without a storage');
  if (hooks !== undefined && hooks !== null && !(hooks instanceof PickleDict))
    throw new PickleFault('the hooks of a tensor are no dict');
  const { storage } = reference;
  const shape = sizes(size, 'size');
  const strides = sizes(stride, 'stride');
  const begin = whole(offset, 'offset');
  const count = elementCount(shape);
  if (shape.length !== strides.length)
    throw new PickleFault(`a tensor has ${shape.length} sizes and ${strides.length} strides`);
  if (!Number.isSafeInteger(count * 8)) throw new PickleFault(`a tensor has the size ${JSON.stringify(shape)}`);
  const tensor = new TorchTensor(storage, begin, shape, strides, count);
  const end = begin + tensor.span;
  if (!(end <= storage.count))
    throw new PickleFault(
      `a tensor of size ${JSON.stringify(shape)} and stride ${JSON.stringify(strides)} from element ${begin} on ` +
        `does not fit its storage ${shown(storage.key)} of ${storage.count} elements`,
    );
  return tensor;
}

/** The arguments are (tensor, requires_grad, hooks). */
function rebuildParameter([tensor]: readonly PickleValue[]): TorchTensor {
  if (!(tensor instanceof TorchTensor)) throw new PickleFault('a parameter is made without a tensor');
  return tensor;
}

/** Computes `_codecs.encode(text, 'latin1')`, in which form protocol 2 writes bytes. */
export function encodeLatin1([text, encoding]: readonly PickleValue[]): Uint8Array {
  if (typeof text !== 'string' || encoding !== 'latin1') throw new PickleFault('bytes are not given as latin1 text');
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

/** Parses ('storage', type, key, location, elements[, view]). The location, such as `cuda:0`, is ignored. */
function parseStorage(id: PickleValue): TorchStorage {
  if (!(id instanceof PickleTuple)) throw new PickleFault('a persistent id is no tuple');
  const [kind, type, key, , count, view] = id.items;
  if (kind !== 'storage')
    throw new PickleFault(
      `a persistent id is of the kind ${typeof kind === 'string' ? shown(kind) : typeof kind}, not 'storage'`,
    );
  if (id.items.length < 5 || id.items.length > 6)
    throw new PickleFault(`a storage has ${id.items.length} fields; 5 or 6 are read`);
  const dtype = type instanceof PickleGlobal && type.module === 'torch' ? storageTypes.get(type.name) : undefined;
  if (!dtype) throw new PickleFault('a storage has no element type that is read here');
  if (typeof key !== 'string') throw new PickleFault('a storage has no text as its key');
  if (view !== undefined && view !== null)
    throw new PickleFault(
      `the storage ${shown(key)} is a part of another, as torch before 0.4 wrote. Load the file in PyTorch and save it again`,
    );
  const elements = whole(count, 'count of a storage');
  if (!Number.isSafeInteger(elements * dtypes[dtype].bytes))
    throw new PickleFault(`a storage has ${elements} elements`);
  return { key, dtype, count: elements };
}

function sizes(value: PickleValue | undefined, what: string): readonly number[] {
  if (!(value instanceof PickleTuple)) throw new PickleFault(`the ${what} of a tensor is no tuple`);
  if (value.items.length > 64) throw new PickleFault(`a tensor has ${value.items.length} axes`);
  return value.items.map((item) => whole(item, what));
}

function whole(value: PickleValue | undefined, what: string): number {
  if (typeof value === 'number' && value >= 0) return value;
  const given = value instanceof PickleFloat ? value.value : value;
  throw new PickleFault(
    `the ${what} of a tensor is ${typeof given === 'number' || typeof given === 'bigint' ? given : 'no number'}; expected a whole number from 0 up`,
  );
}
