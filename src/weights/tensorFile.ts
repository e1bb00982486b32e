import { SafetensorsFile } from '../formats/safetensors.js';
import type { Dtype, TensorValues } from '../formats/safetensors.js';
import { LxmertError } from '../errors.js';
import { RegularFile } from '../formats/regularFile.js';
import { escaped, shown } from '../formats/shown.js';
import { sniff } from '../formats/sniff.js';
import type { TensorFileForm } from '../formats/sniff.js';
import { TorchFile } from '../formats/torchFile.js';
import type { TensorDict } from '../formats/torchTensors.js';
import { isKnownName, nameTensors } from './names.js';

/** One tensor of a file. */
export interface FileTensor {
  /** The name in the file. */
  readonly fileName: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** A key of the place in the file. It is equal for two tensors with the same elements of the same storage. */
  readonly place?: string | undefined;
  /** The values in row-major order, in the array type of the dtype. */
  readonly read: () => Promise<TensorValues>;
  /** Reads the values in pieces, which needs little memory. A piece is valid only until the next piece. */
  readonly pieces: () => AsyncGenerator<TensorValues, void, undefined>;
}

/** An open file of tensors, of any form. */
export interface TensorFile {
  readonly path: string;
  readonly tensors: readonly FileTensor[];
  /** Notes for the user on how the file was read. */
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/** The form of a file. @throws FILE_MISSING, FILE_ACCESS; BAD_DATA if it is not a file of tensors */
export async function formOfFile(path: string): Promise<TensorFileForm> {
  const file = await RegularFile.open(path);
  try {
    return await sniff(file);
  } finally {
    await file.close();
  }
}

/** Opens a safetensors file. @throws FILE_MISSING, FILE_ACCESS, BAD_DATA */
export async function openSafetensors(path: string): Promise<TensorFile> {
  const file = await SafetensorsFile.open(path);
  const tensors = [...file.entries.values()].map(({ name, dtype, shape }) => ({
    fileName: name,
    dtype,
    shape,
    read: () => file.read(name),
    pieces: () => file.pieces(name),
  }));
  return { path, tensors, notes: [], close: () => file.close() };
}

/**
 * Opens a file of `torch.save`. If its object has several dicts with tensors (such as weights and an optimizer's state),
 * the dict with the most names of LXMERT is used.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA
 */
export async function openTorch(path: string): Promise<TensorFile> {
  const file = await TorchFile.open(path);
  try {
    const [dict, ...rivals] = chooseDict(file.dicts);
    const where = dict.path.length === 0 ? '' : ` under ${shown(dict.path.join('.'))}`;
    if (dict.unnamed.length > 0)
      throw new LxmertError(
        'BAD_DATA',
        `${path}: it has a tensor${where} under the key ${shown(dict.unnamed[0])}, which is no text; expected names`,
      );
    const tensors = [...dict.tensors].map(([fileName, tensor]) => ({
      fileName,
      dtype: tensor.storage.dtype,
      shape: tensor.shape,
      place: `${tensor.storage.key} ${tensor.offset} ${tensor.shape.join()} ${tensor.strides.join()}`,
      read: () => file.read(tensor),
      pieces: () => file.pieces(tensor),
    }));
    return { path, tensors, notes: notesOn(dict, rivals), close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Keys that trainers use for weights, the most common first. If dicts have the same number of weights, these keys
 * determine the order of the dicts.
 */
const usualKeys = ['state_dict', 'model_state_dict', 'model', 'module', 'net', 'weights'];

/** Returns the dict with the most weights, followed by others with equally many. */
function chooseDict(dicts: readonly TensorDict[]): readonly TensorDict[] {
  const rated = dicts.map((dict) => {
    const { tensors } = nameTensors([...dict.tensors.keys()]);
    const usual = usualKeys.indexOf(dict.path.at(-1) ?? '');
    return {
      dict,
      known: tensors.filter(({ name }) => isKnownName(name)).length,
      rank: dict.path.length === 0 ? -1 : usual < 0 ? usualKeys.length : usual,
    };
  });
  // Sorting is stable, so the outermost dict comes first if dicts are equal.
  rated.sort((a, b) => b.known - a.known || a.rank - b.rank);
  return rated.filter(({ known }, i) => i === 0 || (known > 0 && known === rated[0].known)).map(({ dict }) => dict);
}

function notesOn({ path, others }: TensorDict, rivals: readonly TensorDict[]): string[] {
  return [
    ...(rivals.length > 0
      ? [
          `there are equally many weights under ${rivals.map((dict) => shown(dict.path.join('.'))).join(', ')}; they were not used`,
        ]
      : []),
    ...(path.length > 0 ? [`the weights under ${shown(path.join('.'))} were used`] : []),
    ...(others.length > 0 && path.length === 0
      ? [
          `values that are no tensors were passed over: ${escaped(others.slice(0, 5).join(', '))}${others.length > 5 ? ', …' : ''}`,
        ]
      : []),
  ];
}
