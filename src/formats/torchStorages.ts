import type { PickleValue } from './pickle.js';

/** Largest size of the saved object without the elements of tensors. Published models have 100 kB. */
export const maxPickleBytes = 64 << 20;

/** Access to the elements of a file's storages. */
export interface TorchStorages {
  /** The object that was saved. */
  readonly root: PickleValue;
  /**
   * Reads bytes of a storage from `begin` on, into new memory. If the file has a checksum, it is compared.
   * @throws BAD_DATA, FILE_ACCESS
   */
  read(key: string, begin: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Reads the same bytes in pieces. A piece is valid only until the next one. A checksum may be compared after the last. */
  pieces(key: string, begin: number, length: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>;
}
