import type { PickleValue } from './pickle.js';

/** Bytes of the saved object, tensors apart; the published models have 100 kB. */
export const maxPickleBytes = 64 << 20;

/** Where a file keeps the elements of its storages. */
export interface TorchStorages {
  /** The object that was saved. */
  readonly root: PickleValue;
  /**
   * Bytes of a storage from `begin` on, in memory of their own; a checksum that the file has is compared.
   * @throws BAD_DATA, FILE_ACCESS
   */
  read(key: string, begin: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** The same, piece by piece; a piece is only valid until the next one. A checksum may be compared after the last. */
  pieces(key: string, begin: number, length: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;
}
