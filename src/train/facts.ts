import { configFields, finetuneSettings } from '../config/fields.js';
import { isRecord } from '../records.js';
import { StateSums } from './checksums.js';
import type { Facts } from './ranks.js';
import type { Training, TrainSettings } from './trainable.js';

/** Settings that may be different on each rank. */
const own = new Set(['out', 'data', 'vocabulary', 'exclude', 'exclude-later', 'workers', 'init', 'from']);

/**
 * The facts that must be the same on all ranks before the first step: settings (by flag name), data, the texts of the
 * checkpoint and the weights.
 */
export async function factsOf(settings: TrainSettings, { model, source, samples, files }: Training): Promise<Facts> {
  const fields = [...configFields, ...finetuneSettings.fields].filter(({ flag }) => !own.has(flag));
  const valueOf = (path: readonly string[]): unknown =>
    path.reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), settings);
  const flags = fields.map(({ flag, path }) => [`--${flag}`, valueOf(path)] as const);
  const sums = new StateSums();
  for (const { name } of model.parameters) sums.add('parameter', await model.read('parameter', name));
  const texts = new StateSums();
  texts.add('parameter', new Float32Array(paddedBytes(JSON.stringify(files)).buffer));
  return {
    ...Object.fromEntries(flags),
    'batches of an epoch': source.batchesPerEpoch,
    'checksum of the training samples': samples,
    'checksum of the configuration, answers and vocabulary': texts.of('parameter'),
    'checksum of the initial weights': sums.of('parameter'),
  };
}

/** The bytes of a text, padded with zeros to a multiple of four. */
function paddedBytes(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(4 * Math.ceil(bytes.length / 4));
  padded.set(bytes);
  return padded;
}
