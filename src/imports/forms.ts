import type { StoreSource } from '../data/store/storeForm.js';
import type { RecordSource } from '../data/store/writeStore.js';
import type { TsvOptions } from './tsvSource.js';

export const formNames = [
  'tsv',
  'volta-lmdb',
  'tensorpack-lmdb',
  'uniter-lmdb',
  'mmf-lmdb',
  'vinvl-tsv',
  'vlt5-h5',
  'gqa-h5',
  'npz',
  'npy',
] as const;
export type FormName = (typeof formNames)[number];

/** A description of each form, for help and messages. */
export const formTitles: Readonly<Record<FormName, string>> = {
  tsv: "the original's TSV: plain, .gz, or inside a .zip",
  'volta-lmdb': 'LMDB of volta and ViLBERT: a pickled row an image',
  'tensorpack-lmdb': 'LMDB that tensorpack wrote: a msgpack row an image',
  'uniter-lmdb': 'LMDB of UNITER',
  'mmf-lmdb': 'LMDB of mmf',
  'vinvl-tsv': 'TSV of VinVL and Oscar',
  'vlt5-h5': 'HDF5 of VL-T5: a group an image',
  'gqa-h5': "GQA's official object files",
  npz: 'npz files (bottom-up-attention.pytorch)',
  npy: 'npy files with their _info.npy (mmf)',
};

/** Options for every form. */
export interface FormOptions extends TsvOptions {
  readonly onNote: (note: string) => void;
}

/** An input that was recognised. */
export interface OpenedForm {
  readonly form: FormName;
  readonly source: StoreSource;
  /** Name, size and time of each file. If they differ from those of an earlier import, the import starts over. */
  readonly identity: unknown;
  readonly unit: string;
  /** Bytes that will be read, for progress; undefined if the number is not known. */
  readonly bytes?: number | undefined;
  /** Number of images, for progress; undefined if the form does not give it. */
  readonly images?: number | undefined;
  items: RecordSource['items'];
  close?(): Promise<void>;
}
