import { isRecord } from '../records.js';
import { show } from './configFile.js';
import { configFields } from './fields.js';
import type { ConfigField } from './fields.js';
import type { ConfigTree } from './presets.js';

/**
 * Settings that may change when a run is resumed. They determine where and how the run computes, but not its results.
 */
const free = new Set([
  'out',
  // The contents of these files are covered by the checksum of the samples, which is compared.
  'data.folder',
  'data.vocabulary',
  'data.exclude',
  'data.maxMissingShare',
  // This setting leaves images out and does not change the order of the other images.
  'data.excludeLater',
  'data.workers',
  'device',
  'threads',
  'microBatchSize',
  'saveEvery',
  'validEvery',
  'earlyStop',
  // A resumed run may become longer; the trainer refuses a shorter one.
  'epochs',
  'maxSteps',
  'keep',
  'keepEvery',
  'init',
  'from',
  'allowMissing',
]);

/** One text for each setting in which a resumed run would differ from its beginning; empty if the run can continue. */
export function forbiddenChanges(
  saved: ConfigTree,
  now: ConfigTree,
  fields: readonly ConfigField[] = configFields,
): string[] {
  return fields.flatMap(({ path, flag, default: value }) => {
    if (free.has(path.join('.'))) return [];
    // A setting that did not exist when the run was started had its default.
    const [before, after] = [valueAt(saved, path) ?? value, valueAt(now, path)];
    return show(before) === show(after)
      ? []
      : [`${path.join('.')} (--${flag}): was ${show(before)}, is ${show(after)}`];
  });
}

function valueAt(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), tree);
}
