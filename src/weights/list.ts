import { createHash } from 'node:crypto';
import type { Dtype } from '../formats/dtypes.js';
import { openWeights } from './source.js';

/** One tensor of a file, as `lxmert weights list` tells it. */
export interface ListedTensor {
  /** As transformers has it. */
  readonly name: string;
  readonly shape: readonly number[];
  /** As safetensors names it: F32, F16, BF16, … */
  readonly dtype: Dtype;
  /** Of the values as stored, row by row, little-endian, in hexadecimal. */
  readonly sha256: string;
}

/**
 * What a file or folder of any form holds, in the file's order, without asking that it be a whole model.
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
