import { LxmertError } from '../errors.js';
import { dtypes } from './dtypes.js';
import type { Dtype, TensorValues } from './dtypes.js';
import { PickleDict } from './pickle.js';
import { RegularFile } from './regularFile.js';
import { shown } from './shown.js';
import { openLegacyStorages } from './torchLegacy.js';
import type { TorchTensor } from './torchPickle.js';
import { collectTensors } from './torchTensors.js';
import type { TensorDict } from './torchTensors.js';
import type { TorchStorages } from './torchStorages.js';
import { openZipStorages } from './torchZip.js';

/** The sizes of all tensors of a file may add up to `maxRepeats` times the size of the file plus this many bytes. */
const freeBytes = 64 << 20;

/**
 * Tensors may share elements (tied weights, strides of 0). Without a limit, a file of 1,000 bytes could contain tensors
 * with a total size of 64 GiB.
 */
const maxRepeats = 8;

/** A file of `torch.save`, in the zip or the legacy form. Its pickle has been read; tensors are read on request. */
export class TorchFile {
  readonly path: string;
  /** Every dict in the file that has at least one tensor with a name, the outermost first. */
  readonly dicts: readonly TensorDict[];
  readonly #file: RegularFile;
  readonly #storages: TorchStorages;

  private constructor(file: RegularFile, storages: TorchStorages, dicts: readonly TensorDict[]) {
    this.path = file.path;
    this.dicts = dicts;
    this.#file = file;
    this.#storages = storages;
  }

  /** @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the file and what is wrong with it */
  static async open(path: string): Promise<TorchFile> {
    const file = await RegularFile.open(path);
    try {
      const zip = file.size >= 2 && Buffer.from(await file.read(0, 2)).toString('latin1') === 'PK';
      const storages = await (zip ? openZipStorages(file) : openLegacyStorages(file));
      const dicts = collectTensors(storages.root, path);
      if (dicts.length === 0)
        throw new LxmertError(
          'BAD_DATA',
          `${path}: it holds no tensors by name` +
            (storages.root instanceof PickleDict ? '' : '; expected a dict, as of torch.save(model.state_dict(), …)'),
        );
      for (const dict of dicts) demandBounded(dict, file);
      return new TorchFile(file, storages, dicts);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Reads a tensor in row-major order, in the array type of its dtype (F16 and BF16 as bits). */
  async read(tensor: TorchTensor): Promise<TensorValues> {
    const { storage, offset, span } = tensor;
    const { bytes: width, array } = dtypes[storage.dtype];
    const bytes = await this.#storages.read(storage.key, offset * width, span * width);
    const values = new array(bytes.buffer);
    return tensor.contiguous ? values : gather(storage.dtype, values, tensor);
  }

  /** Reads a tensor in pieces. A piece is valid only until the next one. A checksum may be compared after the last piece. */
  async *pieces(tensor: TorchTensor): AsyncGenerator<TensorValues, void, undefined> {
    if (!tensor.contiguous) {
      yield await this.read(tensor);
      return;
    }
    const { storage, offset, span } = tensor;
    const { bytes: width, array } = dtypes[storage.dtype];
    for await (const { buffer, byteOffset, byteLength } of this.#storages.pieces(
      storage.key,
      offset * width,
      span * width,
    ))
      yield new array(buffer, byteOffset, byteLength / width);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function demandBounded({ tensors }: TensorDict, { path, size }: RegularFile): void {
  let total = 0;
  for (const [name, { storage, count }] of tensors) {
    total += count * dtypes[storage.dtype].bytes;
    if (total > freeBytes + maxRepeats * size)
      throw new LxmertError(
        'BAD_DATA',
        `${path}: with ${shown(name)} its tensors have ${total} bytes, but the file has ${size}: too many tensors share elements`,
      );
  }
}

/** Copies a view with strides into row-major order. `values` begin at the view's first element. */
function gather(dtype: Dtype, values: TensorValues, { shape, strides, count }: TorchTensor): TensorValues {
  const result = new dtypes[dtype].array(count);
  if (count === 0) return result;
  const last = shape.length - 1;
  const [rowSize, rowStride] = [shape[last], strides[last]];
  const at = new Array<number>(last).fill(0);
  let row = 0;
  for (let to = 0; to < count;) {
    for (let i = 0, from = row; i < rowSize; i++, from += rowStride) result[to++] = values[from];
    for (let axis = last - 1; axis >= 0; axis--) {
      row += strides[axis];
      if (++at[axis] < shape[axis]) break;
      row -= shape[axis] * strides[axis];
      at[axis] = 0;
    }
  }
  return result;
}
