import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { LxmertError } from '../errors.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { isRecord } from '../records.js';
import { stateKinds } from './trainable.js';
import type { StateKind } from './trainable.js';

/** The file of a checkpoint with a CRC-32 of all weights and one of each moment. Older checkpoints do not have this file. */
export const checksumFile = 'checksums.json';

/** CRC-32 of each kind of state, over the tensors in the order of the model's parameters. */
export class StateSums {
  readonly #sums: Record<StateKind, number> = { parameter: 0, firstMoment: 0, secondMoment: 0 };

  /** Adds the next tensor of a kind, and returns it. */
  add(kind: StateKind, values: Float32Array): Float32Array {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#sums[kind] = crc32(bytes, this.#sums[kind]);
    return values;
  }

  /** In hexadecimal. */
  of(kind: StateKind): string {
    return this.#sums[kind].toString(16).padStart(8, '0');
  }

  /** The text of `checksums.json`. */
  toText(): string {
    return `${JSON.stringify(Object.fromEntries(stateKinds.map((kind) => [kind, this.of(kind)])))}\n`;
  }
}

/**
 * Compares the checksums of the tensors that were read from a checkpoint with the checksums in its file.
 * @param files the file of each kind that was read
 * @throws BAD_CHECKPOINT naming the damaged file
 */
export async function demandIntact(
  folder: string,
  files: Readonly<Partial<Record<StateKind, string>>>,
  read: StateSums,
): Promise<void> {
  const written = await readSums(join(folder, checksumFile));
  if (!written) return;
  for (const kind of stateKinds) {
    const file = files[kind];
    if (file === undefined || written[kind] === read.of(kind)) continue;
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${join(folder, file)}: it is damaged: the checksum of its tensors is ${read.of(kind)}, and ${checksumFile} has ` +
        `${String(written[kind])}. Move ${folder} away, and --resume continues from the checkpoint before it`,
    );
  }
}

async function readSums(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (isRecord(value)) return value;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    if (!(error instanceof SyntaxError)) throw fileError(error, 'read', path);
  }
  throw new LxmertError('BAD_CHECKPOINT', `${path}: expected one JSON object with a checksum of each kind of state`);
}
