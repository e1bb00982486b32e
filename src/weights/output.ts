import type { ModelConfig } from '../config/modelConfig.js';
import type { TensorValues } from '../formats/dtypes.js';
import type { SourceConfig } from './config.js';
import type { WantedTensor } from './coverage.js';
import type { ModelKind } from './kinds.js';

export type OutputDtype = 'F32' | 'F16' | 'BF16';

/** Makes the text files of a folder, by name, from those that the folder has anyway. */
export type FilesOf = (
  files: Readonly<Record<string, string>>,
  model: Pick<OutputModel, 'kind' | 'config' | 'tensors'>,
) => Readonly<Record<string, string>>;

/** A model to be written to a file. */
export interface OutputModel {
  readonly kind: ModelKind;
  readonly config: ModelConfig;
  readonly tasks?: SourceConfig['tasks'];
  readonly dtype: OutputDtype;
  /** By transformers' names, in the order of the file. */
  readonly tensors: readonly WantedTensor[];
  /** Gives the values of a tensor in the type of `dtype`, in pieces. A piece is valid only until the next piece. */
  readonly pieces: (name: string) => AsyncGenerator<TensorValues, void, undefined>;
  /** The answers of the answer head, by row, if they are known. */
  readonly answers?: readonly string[] | undefined;
  /** Changes the text files of a transformers folder, or adds some: their texts by name. Default: no change. */
  readonly filesOf?: FilesOf | undefined;
  /** The text of the `vocab.txt` beside the weights, if there is one. */
  readonly vocabulary?: string | undefined;
}
