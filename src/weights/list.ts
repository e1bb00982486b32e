import { createHash } from 'node:crypto';
import type { Dtype } from '../formats/dtypes.js';
import { openWeights } from './source.js';

/** One tensor of a file, as `lxmert weights list` prints it. */
export interface ListedTensor {
  /** The name in transformers. */
  readonly name: string;
  readonly shape: readonly number[];
  /** The type in the file, by its name in safetensors: F32, F16, BF16, … */
  readonly dtype: Dtype;
  /** The hash, in hexadecimal, of the values in the type of the file, row by row, little-endian. */
  readonly sha256: string;
}

/**
 * Lists the tensors of a file or folder of any form, in the file's order. The file does not have to contain a complete
 * model.
 * @throws as `openWeights`
 */
export async function listWeights(
  path: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<{ readonly tensors: readonly ListedTensor[]; readonly notes: readonly string[] }> {
  const source = await openWeights(path);
  try {
    const tensors: ListedTensor[] = [];
    for (const { name, shape, dtype, read } of source.tensors.values()) {
      signal?.throwIfAborted();
      const sha256 = createHash('sha256')
        .update(await read())
        .digest('hex');
      tensors.push({ name, shape, dtype, sha256 });
    }
    return { tensors, notes: source.notes };
  } finally {
    await source.close();
  }
}
