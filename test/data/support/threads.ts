/** Opened data for tests with threads. The programs of threads must be JavaScript. */
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openPretrainData } from '../../../src/data/samples/pretrainData.js';
import type { OpenPretrainOptions, PretrainData } from '../../../src/data/samples/pretrainData.js';
import { WordPiece } from '../../../src/text/wordPiece.js';
import { CompiledCopy } from '../../train/support/compile.js';
import { TestFolders } from './samples.js';

export class ThreadedData {
  readonly folders = new TestFolders();
  readonly copy: CompiledCopy;
  readonly #wordPiece: WordPiece;
  readonly #opened: PretrainData[] = [];

  private constructor(copy: CompiledCopy, wordPiece: WordPiece) {
    this.copy = copy;
    this.#wordPiece = wordPiece;
  }

  static async make(): Promise<ThreadedData> {
    return new ThreadedData(await CompiledCopy.make(), await WordPiece.load());
  }

  /** A program of `src/data`, for the option `workerScript`. */
  script(name: string): URL {
    return pathToFileURL(join(this.copy.folder, 'src/data', name));
  }

  /** Writes these files into a folder and opens its split `train`; by default from the TSV. */
  async open(
    files: Readonly<Record<string, string>>,
    options: Partial<OpenPretrainOptions> = {},
  ): Promise<PretrainData> {
    return this.openFolder(await this.folders.make(files), options);
  }

  async openFolder(dir: string, options: Partial<OpenPretrainOptions> = {}): Promise<PretrainData> {
    const fixed = { dir, splits: 'train', wordPiece: this.#wordPiece, inMemory: false };
    const data = await openPretrainData({ ...fixed, ...options });
    this.#opened.push(data);
    return data;
  }

  async remove(): Promise<void> {
    for (const data of this.#opened) await data.close();
    await this.copy.remove();
    await this.folders.remove();
  }
}

export async function take<T>(source: AsyncIterable<T>, count = Infinity): Promise<T[]> {
  const taken: T[] = [];
  for await (const value of source) {
    taken.push(value);
    if (taken.length === count) break;
  }
  return taken;
}

/** The number of open handles of this process to a file. */
export async function timesOpen(path: string): Promise<number> {
  const fds = await readdir('/proc/self/fd');
  const files = await Promise.all(fds.map((fd) => readlink(join('/proc/self/fd', fd)).catch(() => undefined)));
  return files.filter((file) => file === path).length;
}

/** The number of threads of this process, including those of the engine and of libuv. */
export const countThreads = async () => (await readdir('/proc/self/task')).length;
