import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import h5wasm from 'h5wasm';
import { LxmertError } from '../errors.js';
import { readFailure } from './fileErrors.js';
import { NumpyArray, NumpyDtype } from './numpy.js';
import { shown } from './shown.js';

/** The library's module. Its file system is in memory and has only the files that this room opens. */
type Module = Awaited<typeof h5wasm.ready>;

let loading: Promise<Module> | undefined;
let serial = 0;

function load(): Promise<Module> {
  loading ??= h5wasm.ready.then((module) => {
    // Without this call the library writes errors to stderr and continues.
    module.activate_throwing_error_handler();
    return module;
  });
  return loading;
}

/** The kind of object to which a name in a group refers. */
export type Hdf5Kind = 'group' | 'dataset' | 'link' | 'nothing';

/** The description of a dataset, without its numbers. */
export interface Hdf5Dataset {
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: NumpyDtype;
}

/** A file of the in-memory file system whose bytes are read from a real file. */
interface LentNode {
  usedBytes: number;
  stream_ops: Record<string, unknown>;
}

/**
 * An HDF5 file, read by the HDF5 library compiled to WebAssembly. The library can open only this file, so links to other
 * files cannot be followed. Reads are synchronous. Memory is needed for one dataset at a time.
 */
export class Hdf5File {
  readonly path: string;
  readonly #module: Module;
  readonly #file: InstanceType<typeof h5wasm.File>;
  readonly #name: string;
  readonly #fd: number;

  private constructor(path: string, module: Module, file: InstanceType<typeof h5wasm.File>, name: string, fd: number) {
    this.path = path;
    this.#module = module;
    this.#file = file;
    this.#name = name;
    this.#fd = fd;
  }

  /** @throws FILE_MISSING, FILE_ACCESS; BAD_DATA if it is not HDF5 or was cut short */
  static async open(path: string): Promise<Hdf5File> {
    const module = await load();
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      throw readFailure(path, 'an HDF5 file', error);
    }
    serial += 1;
    const name = `/lent-${serial}.h5`;
    try {
      lend(module, name, fd);
      return new Hdf5File(path, module, new h5wasm.File(name, 'r'), name, fd);
    } catch (error) {
      closeSync(fd);
      const message = causeOf(error);
      const hint = /truncated/i.test(message)
        ? 'it is cut short'
        : /signature/i.test(message)
          ? 'it is no HDF5 file'
          : message;
      throw new LxmertError('BAD_DATA', `${path}: cannot be read as HDF5: ${hint}`, { cause: error });
    }
  }

  /** Names in the root, or in a group, in the order of the file's index. */
  names(group = '/'): readonly string[] {
    return this.#guarded(group, () => {
      const found = group === '/' ? this.#file : this.#file.get(group);
      return found instanceof h5wasm.Group ? found.keys() : [];
    });
  }

  /** The kind of object to which a path refers. Links to other files are not followed. */
  kindOf(path: string): Hdf5Kind {
    let found: unknown;
    try {
      found = this.#file.get(path);
    } catch {
      // The target of the link does not exist.
      return this.#isName(path) ? 'link' : 'nothing';
    }
    if (found instanceof h5wasm.Group) return 'group';
    if (found instanceof h5wasm.Dataset) return 'dataset';
    return found === null ? (this.#isName(path) ? 'link' : 'nothing') : 'link';
  }

  /** Describes a dataset of numbers. @throws BAD_DATA if there is none at the path */
  dataset(path: string): Hdf5Dataset {
    return this.#guarded(path, () => {
      const kind = this.kindOf(path);
      if (kind === 'link') throw this.#bad(path, 'is a link to another file or to nothing; it was not followed');
      if (kind !== 'dataset')
        throw this.#bad(path, kind === 'group' ? 'is a group; numbers were expected' : 'is missing');
      const { shape, type, size, signed, littleEndian } = (this.#file.get(path) as InstanceType<typeof h5wasm.Dataset>)
        .metadata;
      // 0: whole numbers, 1: floats.
      const letter = type === 0 ? (signed ? 'i' : 'u') : type === 1 ? 'f' : undefined;
      if (letter === undefined || shape === null || ![1, 2, 4, 8].includes(size))
        throw this.#bad(path, 'is no array of numbers');
      return { path, shape, dtype: new NumpyDtype(letter, size, !littleEndian) };
    });
  }

  /**
   * Reads the numbers of a dataset: all, or on each axis `count` numbers from `offset` on.
   * @throws BAD_DATA
   */
  read(
    { path, shape, dtype }: Hdf5Dataset,
    range?: { readonly offset: readonly number[]; readonly count: readonly number[] },
  ): NumpyArray {
    const sizes = range?.count ?? shape;
    const bytes = sizes.reduce((product, size) => product * size, dtype.bytes);
    if (!Number.isSafeInteger(bytes) || bytes > 2 ** 30) throw this.#bad(path, `claims ${bytes} bytes for one image`);
    return this.#guarded(path, () => {
      const array = new NumpyArray(dtype);
      array.shape = sizes;
      if (bytes === 0) return array;
      const module = this.#module as unknown as {
        _malloc(bytes: number): number;
        _free(at: number): void;
        HEAPU8: Uint8Array;
        get_dataset_data(...args: unknown[]): number;
      };
      const at = module._malloc(bytes);
      if (at === 0) throw this.#bad(path, `needs ${bytes} bytes, which the library does not have`);
      try {
        const big = (numbers: readonly number[]) => numbers.map(BigInt);
        const args = range ? [big(range.count), big(range.offset), big(range.count.map(() => 1))] : [null, null, null];
        const file = (this.#file as unknown as { file_id: bigint }).file_id;
        module.get_dataset_data(file, path, ...args, BigInt(at));
        array.bytes = module.HEAPU8.slice(at, at + bytes);
      } finally {
        module._free(at);
      }
      return array;
    });
  }

  close(): void {
    try {
      this.#file.close();
      this.#module.FS.unlink(this.#name);
    } finally {
      closeSync(this.#fd);
    }
  }

  #isName(path: string): boolean {
    const cut = path.lastIndexOf('/');
    return this.names(path.slice(0, cut) || '/').includes(path.slice(cut + 1));
  }

  #bad(path: string, reason: string, cause?: unknown): LxmertError {
    return new LxmertError('BAD_DATA', `${this.path}: ${shown(path.replace(/^\//, '')).slice(1, -1)} ${reason}`, {
      cause,
    });
  }

  #guarded<T>(path: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof LxmertError) throw error;
      throw this.#bad(path, `cannot be read: ${causeOf(error)}`, error);
    }
  }
}

/** The original cause of an error, which the library prints last. */
function causeOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split('\n').filter((line) => /^\s*#\d+:/.test(line));
  return (lines.at(-1) ?? text).replace(/^.*\(\): /, '').trim() || 'the library failed';
}

/** Adds a file to the library's file system whose bytes are read from an open file. */
function lend(module: Module, name: string, fd: number): void {
  const files = module.FS as unknown as {
    writeFile(name: string, bytes: Uint8Array): void;
    lookupPath(name: string): { node: LentNode };
  };
  files.writeFile(name, new Uint8Array(0));
  const { node } = files.lookupPath(name);
  node.usedBytes = fstatSync(fd).size;
  node.stream_ops = {
    ...node.stream_ops,
    read: (_: unknown, buffer: Uint8Array, offset: number, length: number, position: number) =>
      readSync(fd, new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length), 0, length, position),
  };
}
