import { LxmertError } from '../errors.js';
import { readText } from '../formats/text.js';
import { parseYaml } from '../formats/yaml.js';
import { isRecord } from '../records.js';
import { pretrainSettings } from './fields.js';
import type { RunSettings } from './fields.js';
import { suggestion } from './nearest.js';
import type { ConfigTree } from './presets.js';

/** A description read from a file, with the line of each of its settings. */
export interface ConfigFile {
  readonly path: string;
  readonly tree: ConfigTree;
  /** Line of a setting, from 1. If the file does not have it, the line of the nearest enclosing setting. */
  lineOf(path: readonly string[]): number;
}

/**
 * Reads a YAML (or JSON) description of a run: UTF-8, a byte order mark is allowed. It checks the names of settings, not
 * their values.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA (no UTF-8 text), BAD_CONFIG naming file, line and key
 */
export async function readConfigFile(path: string, settings?: RunSettings): Promise<ConfigFile> {
  return parseConfigFile(await readText(path, 'a description of a run'), path, settings);
}

/** Like `readConfigFile`, from the text. */
export function parseConfigFile(text: string, path: string, settings = pretrainSettings): ConfigFile {
  const { root, lineOf } = parseYaml(text, (line, problem, cause) =>
    bad(`${path}:${line === undefined ? '' : `${line}:`} ${problem}`, cause),
  );
  const tree = root ?? {};
  if (!isRecord(tree)) throw bad(`${path}:1: expected settings, one 'name: value' a line; got ${show(tree)}`);
  checkNames(tree, [], (keys, message) => bad(`${path}:${lineOf(keys)}: ${message}`), settings);
  return { path, tree, lineOf };
}

/**
 * Refuses names that no setting has.
 * @param fail makes the error for a place and a message
 */
export function checkNames(
  tree: ConfigTree,
  path: readonly string[],
  fail: (path: readonly string[], message: string) => LxmertError,
  settings = pretrainSettings,
): void {
  const { knownKeys } = settings;
  const known = knownKeys(path) ?? [];
  const names = path.length === 0 ? [...known, 'preset'] : known;
  for (const [key, value] of Object.entries(tree)) {
    const here = [...path, key];
    if (!names.includes(key)) {
      const where = path.length === 0 ? '' : ` in '${path.join('.')}'`;
      throw fail(here, `unknown setting '${key}'${where}.${suggestion(key, names)}`);
    }
    const inner = knownKeys(here);
    if (!inner) continue;
    if (!isRecord(value))
      throw fail(here, `'${here.join('.')}' contains settings (${inner.join(', ')}); got ${show(value)}`);
    checkNames(value, here, fail, settings);
  }
}

/** Formats a value for a message. */
export function show(value: unknown): string {
  const isNumber = typeof value === 'number';
  const text = value === undefined ? 'nothing' : isNumber ? String(value) : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function bad(message: string, cause?: unknown): LxmertError {
  return new LxmertError('BAD_CONFIG', message, cause === undefined ? undefined : { cause });
}
