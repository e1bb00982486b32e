import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SafetensorsFile } from '../../src/formats/safetensors.js';
import { fixture } from '../finetune/support.js';

/** The inputs of an exported graph, by name. */
export type Feeds = Readonly<Record<string, Tensor>>;

/**
 * The model of a fixture in a folder of its own. The `vocab.txt` of a fixture does not have all letters, so it is left out.
 */
export function modelOf(name: string, folder: string): string {
  const to = join(folder, name);
  mkdirSync(to, { recursive: true });
  for (const file of ['config.json', 'model.safetensors']) copyFileSync(join(fixture(name), file), join(to, file));
  return to;
}

/** The batch of a fixture as inputs of an exported graph, with its padding. */
export async function feedsOf(name: string): Promise<Feeds> {
  await using file = await SafetensorsFile.open(join(fixture(name), 'batch.safetensors'));
  const feeds: Record<string, Tensor> = {};
  for (const input of ['input_ids', 'attention_mask', 'token_type_ids', 'visual_attention_mask']) {
    const values = await file.readFloat32(input);
    feeds[input] = new Tensor('int64', BigInt64Array.from(values, BigInt), file.entry(input).shape);
  }
  for (const input of ['visual_feats', 'visual_pos'])
    feeds[input] = new Tensor('float32', await file.readFloat32(input), file.entry(input).shape);
  return feeds;
}

/** The outputs of a graph, by name. */
export async function run(path: string, feeds: Feeds): Promise<Readonly<Record<string, Tensor>>> {
  const session = await InferenceSession.create(path, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

export const floatsOf = ({ data }: Tensor): Float32Array => data as Float32Array;

/**
 * The largest difference of two lists of rows with this width. A row does not count if the mask, one number for each row, has 0
 * there.
 */
export function furthest(a: Float32Array, b: Float32Array, width = 1, mask?: ArrayLike<bigint | number>): number {
  if (a.length !== b.length) return Infinity;
  let most = 0;
  for (let i = 0; i < a.length; i++)
    if (mask === undefined || Number(mask[Math.floor(i / width)]) !== 0) {
      const difference = Math.abs(a[i] - b[i]);
      if (Number.isNaN(difference)) return Infinity;
      most = Math.max(most, difference);
    }
  return most;
}

/**
 * One sample of a batch without its padding. An axis of tokens or objects is cut to the number of ones in its mask, which
 * must be equal for both pictures.
 */
export function sampleOf(feeds: Feeds, index: number): Feeds {
  const count = (name: string): number => {
    const mask = feeds[name];
    const length = mask.dims.at(-1)!;
    const own = (mask.data as BigInt64Array).slice(index * length, (index + 1) * length);
    return own.reduce((sum, one) => sum + Number(one), 0);
  };
  const [tokens, objects] = [count('attention_mask'), count('visual_attention_mask')];
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { dims, data, type }]) => {
      const length = name.startsWith('visual') ? objects : tokens;
      const width = dims[2] ?? 1;
      const start = index * dims[1] * width;
      const values = (data as Float32Array).slice(start, start + length * width);
      return [name, new Tensor(type as 'float32', values, [1, length, ...dims.slice(2)])];
    }),
  );
}
