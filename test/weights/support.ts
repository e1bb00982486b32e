import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { toFloat32 } from '../../src/formats/dtypes.js';
import { openWeights } from '../../src/weights/index.js';

export const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
export const weightFixtures = join(fixtures, 'weights');

/** The parsed contents of a JSON file, with the type that the caller expects. */
export const readJson = (...path: readonly string[]) => JSON.parse(readFileSync(join(...path), 'utf8'));

export interface WeightCase {
  readonly file: string;
  readonly expected: string;
  readonly unused?: readonly string[];
}

export const weightCases: readonly WeightCase[] = readJson(weightFixtures, 'cases.json');

export const sha256 = (values: ArrayBufferView): string =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');

/** The shape and the hash of the float32 values of each tensor, by name. */
export type Digest = Readonly<Record<string, string>>;

export async function digestOfSafetensors(path: string): Promise<Digest> {
  await using file = await SafetensorsFile.open(path);
  const entries: [string, string][] = [];
  for (const { name, shape } of file.entries.values())
    entries.push([name, `${shape.join()} ${sha256(await file.readFloat32(name))}`]);
  return Object.fromEntries(entries);
}

/** The same for weights of any form, by the names of transformers, without second copies and buffers. */
export async function digestOfWeights(path: string): Promise<Digest> {
  const source = await openWeights(path);
  try {
    const entries: [string, string][] = [];
    for (const { name, shape, dtype, copyOf, buffer, read } of source.tensors.values())
      if (copyOf === undefined && buffer !== true)
        entries.push([name, `${shape.join()} ${sha256(toFloat32(dtype, await read()))}`]);
    return Object.fromEntries(entries);
  } finally {
    await source.close();
  }
}
