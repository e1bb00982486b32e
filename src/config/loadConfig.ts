import { LxmertError } from '../errors.js';
import { isRecord } from '../records.js';
import { checkNames, readConfigFile, show } from './configFile.js';
import type { ConfigFile } from './configFile.js';
import type { z } from 'zod';
import { finetuneSettings, pretrainSettings } from './fields.js';
import type { ConfigField, RunSettings } from './fields.js';
import { finetuneConfigSchema, finetunePresets } from './finetuneConfig.js';
import type { FinetuneConfig } from './finetuneConfig.js';
import { expectation } from './issues.js';
import { suggestion } from './nearest.js';
import { presets } from './presets.js';
import type { ConfigTree } from './presets.js';
import { runConfigSchema } from './runConfig.js';
import type { RunConfig } from './runConfig.js';

/** The sources of a run's description. An earlier source overrides a later one. */
export interface ConfigSources {
  /** Flags without the dashes, as text, e.g. `{ lr: '1e-3', tasks: 'matched,qa' }`. */
  readonly flags?: Readonly<Record<string, string | undefined>> | undefined;
  /** A YAML or JSON file. */
  readonly file?: string;
  /** Overrides the `preset` that the file gives. */
  readonly preset?: string;
  /** The description with which the run that is resumed was started. */
  readonly saved?: ConfigTree | undefined;
}

/** The schema, settings and presets of a kind of run. */
interface RunKind<C> {
  readonly settings: RunSettings;
  readonly schema: z.ZodType<C>;
  readonly presets: Readonly<Record<string, ConfigTree>>;
}

const pretrainKind: RunKind<RunConfig> = { settings: pretrainSettings, schema: runConfigSchema, presets };

const finetuneKind: RunKind<FinetuneConfig> = {
  settings: finetuneSettings,
  schema: finetuneConfigSchema,
  presets: finetunePresets,
};

/**
 * Makes the description of a run from its sources: flags override the file, the file overrides the preset, the preset
 * overrides the saved run, and the saved run overrides the defaults.
 * @throws BAD_ARGUMENT for a flag; BAD_CONFIG for a file, with its line; FILE_MISSING, FILE_ACCESS
 */
export function loadRunConfig(sources: ConfigSources): Promise<RunConfig> {
  return load(sources, pretrainKind);
}

/**
 * Makes the description of a fine-tuning run. The flag `task` gives the task, and the default preset is the one with the
 * task's name.
 * @throws as `loadRunConfig`
 */
export function loadFinetuneConfig(sources: ConfigSources): Promise<FinetuneConfig> {
  const { task } = sources.flags ?? {};
  const recipe = task !== undefined && Object.hasOwn(finetunePresets, task) ? task : undefined;
  return load(sources, finetuneKind, sources.saved ? undefined : recipe);
}

async function load<C>(sources: ConfigSources, kind: RunKind<C>, usualPreset?: string): Promise<C> {
  const { settings, presets } = kind;
  const file = sources.file === undefined ? undefined : await readConfigFile(sources.file, settings);
  const { preset: presetInFile, ...fileTree } = file?.tree ?? {};
  const preset = findPreset(sources.preset, presetInFile, file, Object.keys(presets)) ?? usualPreset;
  const flags = flagTree(sources.flags ?? {}, settings.fields);
  if (sources.saved) checkNames(sources.saved, [], (_, message) => new LxmertError('BAD_CONFIG', message), settings);
  const layers = [
    sources.saved ?? {},
    preset === undefined ? {} : presets[preset],
    listsFromText(fileTree, settings.fields),
    flags,
  ];
  const layered = layers.reduce(overlay, {});
  const excludes = settings.knownKeys(['data'])?.includes('excludeLater') ?? false;
  const merged = excludes ? excludeOnResume(layered, sources.saved) : layered;
  const result = kind.schema.safeParse(merged, { error: expectation });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue.path.map(String);
  const given = valueAt(merged, path);
  const message = `${issue.message}${isRecord(given) || given === undefined ? '' : `; got ${show(given)}`}`;
  const field = settings.fields.find((one) => one.path.every((key, i) => key === path[i]));
  if (field && valueAt(flags, field.path) !== undefined)
    throw new LxmertError('BAD_ARGUMENT', `--${field.flag}: ${message}`);
  if (file && (valueAt(fileTree, field?.path ?? path) !== undefined || !field))
    throw new LxmertError('BAD_CONFIG', `${file.path}:${file.lineOf(path)}: ${path.join('.')}: ${message}`);
  throw new LxmertError('BAD_CONFIG', `${path.join('.')}${field ? ` (--${field.flag})` : ''}: ${message}`);
}

/**
 * If a resumed run has exclusion lists that it did not have at its start, they become `excludeLater`: their images are left
 * out of batches. Leaving them out of the samples would change the order of all other samples.
 */
function excludeOnResume(merged: ConfigTree, saved: ConfigTree | undefined): ConfigTree {
  const listsIn = (tree: ConfigTree | undefined, key: string): readonly unknown[] => {
    const value = valueAt(tree, ['data', key]);
    return Array.isArray(value) ? value : [];
  };
  if (saved === undefined) return merged;
  const began = listsIn(saved, 'exclude');
  const added = listsIn(merged, 'exclude').filter((file) => !began.includes(file));
  const later = [...listsIn(saved, 'excludeLater'), ...listsIn(merged, 'excludeLater'), ...added];
  if (later.length === 0) return merge(merged, { data: { exclude: began } });
  return merge(merged, { data: { exclude: began, excludeLater: [...new Set(later)] } });
}

/** Converts flags to nested values. @throws BAD_ARGUMENT naming the flag */
export function flagTree(
  flags: Readonly<Record<string, string | undefined>>,
  fields: readonly ConfigField[] = pretrainSettings.fields,
): ConfigTree {
  const known = fields.map(({ flag }) => flag);
  let tree: ConfigTree = {};
  for (const [flag, text] of Object.entries(flags)) {
    if (text === undefined) continue;
    const field = fields.find((one) => one.flag === flag);
    if (!field) throw new LxmertError('BAD_ARGUMENT', `unknown flag --${flag}.${suggestion(flag, known)}`);
    const inner = field.path.reduceRight<unknown>((value, key) => ({ [key]: value }), parseFlag(field, text));
    tree = merge(tree, inner as ConfigTree);
  }
  return tree;
}

function parseFlag(field: ConfigField, text: string): unknown {
  if (field.kind === 'number' || field.kind === 'integer') {
    const number = text.trim() === '' ? NaN : Number(text);
    if (!Number.isFinite(number))
      throw new LxmertError('BAD_ARGUMENT', `--${field.flag} ${JSON.stringify(text)}: expected a number`);
    return number;
  }
  if (field.kind === 'switch') {
    if (text !== 'true' && text !== 'false')
      throw new LxmertError('BAD_ARGUMENT', `--${field.flag} ${JSON.stringify(text)}: expected true or false`);
    return text === 'true';
  }
  const names = field.kind === 'list' ? splitList(text) : [text];
  for (const name of field.choices ? names : [])
    if (!field.choices?.includes(name))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `--${field.flag}: there is no '${name}'.${suggestion(name, field.choices ?? [])}`,
      );
  return field.kind === 'list' ? names : text;
}

/** Converts `a, b` to a list. `none` is the empty list. */
const splitList = (text: string) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '' && text.trim() !== 'none');

/** Converts lists that a file has in the form `a,b`. */
function listsFromText(tree: ConfigTree, fields: readonly ConfigField[]): ConfigTree {
  let result = tree;
  for (const { kind, path } of fields) {
    const value = kind === 'list' ? valueAt(tree, path) : undefined;
    if (typeof value === 'string')
      result = merge(result, path.reduceRight<unknown>((v, key) => ({ [key]: v }), splitList(value)) as ConfigTree);
  }
  return result;
}

function findPreset(
  flag: string | undefined,
  inFile: unknown,
  file: ConfigFile | undefined,
  presetNames: readonly string[],
): string | undefined {
  const name = flag ?? inFile;
  if (name === undefined) return undefined;
  const found = presetNames.find((preset) => preset === name);
  if (found) return found;
  const text = typeof name === 'string' ? name : show(name);
  const message = `there is no preset '${text}'.${suggestion(text, presetNames)}`;
  if (flag !== undefined) throw new LxmertError('BAD_ARGUMENT', `--preset: ${message}`);
  throw new LxmertError('BAD_CONFIG', `${file?.path}:${file?.lineOf(['preset'])}: ${message}`);
}

/** Like `merge`, but `epochs` in `above` replaces `maxSteps` in `below`, and the reverse. */
function overlay(below: ConfigTree, above: ConfigTree): ConfigTree {
  if ('epochs' in above === 'maxSteps' in above) return merge(below, above);
  const { epochs: _epochs, maxSteps: _maxSteps, ...rest } = below;
  return merge(rest, above);
}

/** Merges two trees. Objects are merged recursively; other values in `above` replace those in `below`. */
function merge(below: ConfigTree, above: ConfigTree): ConfigTree {
  const result: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = result[key];
    result[key] = isRecord(value) ? merge(isRecord(old) ? old : {}, value) : value;
  }
  return result;
}

/** The value at a path, which may lead through lists. */
function valueAt(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, key) => {
    const holds = (isRecord(at) || Array.isArray(at)) && Object.hasOwn(at, key);
    return holds ? (at as ConfigTree)[key] : undefined;
  }, tree);
}
