import { finetunePresets } from '../config/finetuneConfig.js';
import { finetuneSettings, pretrainSettings } from '../config/fields.js';
import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import { presets, type ConfigTree } from '../config/presets.js';
import { isRecord } from '../records.js';

/** One setting of a run. */
export interface ConfigRow {
  /** The path of the setting in the configuration, such as `optimizer.lr`. */
  readonly key: string;
  readonly value: string;
  /** The value in the preset; undefined if the run has the same value. */
  readonly preset?: string | undefined;
}

export interface ConfigTable {
  /** The preset that has the fewest settings with other values than the run. */
  readonly preset: string;
  readonly rows: readonly ConfigRow[];
}

/** Settings that belong to one run and that no preset has. */
const ownKeys: ReadonlySet<string> = new Set(['task', 'out', 'from', 'init', 'seed', 'device', 'threads']);
const isOwn = (key: string): boolean => ownKeys.has(key) || key.startsWith('data.folder');

/** The settings of a run, and the values of the preset that differs from them in the fewest settings. */
export async function configTable(config: ConfigTree): Promise<ConfigTable> {
  const own = flat(config);
  const candidates = await presetsFor(config);
  const differences = (values: ReadonlyMap<string, string>): number =>
    [...own].filter(([key, value]) => !isOwn(key) && differs(value, values.get(key))).length;
  const [preset, values] = candidates.reduce((best, one) => (differences(one[1]) < differences(best[1]) ? one : best));
  return {
    preset,
    rows: [...own].map(([key, value]) => ({
      ...{ key, value },
      preset: !isOwn(key) && differs(value, values.get(key)) ? values.get(key) : undefined,
    })),
  };
}

/**
 * A setting that follows from the data, such as the number of answers, is undefined in a preset and does not differ.
 */
const differs = (value: string, preset: string | undefined): boolean => preset !== undefined && value !== preset;

async function presetsFor({ task }: ConfigTree): Promise<(readonly [string, ReadonlyMap<string, string>])[]> {
  const finetune = typeof task === 'string';
  const names = Object.keys(finetune ? finetunePresets : presets);
  const tables = names.map(async (preset) => {
    const tree = finetune
      ? await loadFinetuneConfig({ preset, flags: { task, out: 'out' } })
      : await loadRunConfig({ preset, flags: { out: 'out' } });
    return [preset, flat(tree)] as const;
  });
  return Promise.all(tables);
}

/** The values of a tree as JSON, by path. The settings of the schemas come first, in the order of the schemas. */
function flat(tree: ConfigTree): Map<string, string> {
  const all = new Map<string, string>();
  const visit = (value: unknown, path: readonly string[]): void => {
    if (isRecord(value)) for (const [key, inner] of Object.entries(value)) visit(inner, [...path, key]);
    else if (value !== undefined) all.set(path.join('.'), JSON.stringify(value));
  };
  visit(tree, []);
  const known = [...finetuneSettings.fields, ...pretrainSettings.fields].map(({ path }) => path.join('.'));
  const order = new Map(known.map((key, i) => [key, i]));
  return new Map([...all].sort(([a], [b]) => (order.get(a) ?? known.length) - (order.get(b) ?? known.length)));
}
