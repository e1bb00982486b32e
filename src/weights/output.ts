import type { ModelConfig } from '../config/modelConfig.js';
import type { TensorValues } from '../formats/dtypes.js';
import type { SourceConfig } from './config.js';
import type { WantedTensor } from './coverage.js';
import type { ModelKind } from './kinds.js';

export type OutputDtype = 'F32' | 'F16' | 'BF16';

/** A model on its way into a file. */
export interface OutputModel {
  readonly kind: ModelKind;
  readonly config: ModelConfig;
  readonly tasks?: SourceConfig['tasks'];
  readonly dtype: OutputDtype;
  /** By transformers' names, in the order of the file. */
  readonly tensors: readonly WantedTensor[];
  /** The values of one of them, in the type of `dtype`, piece by piece; a piece is only valid until the next one. */
  readonly pieces: (name: string) => AsyncGenerator<TensorValues, void, undefined>;
  /** Of the answer head, by row, where they are known. */
  readonly answers?: readonly string[] | undefined;
  /** Text of the `vocab.txt` that lay beside the weights. */
  readonly vocabulary?: string | undefined;
}
