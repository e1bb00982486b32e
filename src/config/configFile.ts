import { readFile } from 'node:fs/promises';
import { LineCounter, isMap, isPair, isScalar, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { pretrainSettings } from './fields.js';
import type { RunSettings } from './fields.js';
import { suggestion } from './nearest.js';
import type { ConfigTree } from './presets.js';

/** A description read from a file, with the line of each of its settings. */
export interface ConfigFile {
  readonly path: string;
  readonly tree: ConfigTree;
  /** Line of a setting (or of the nearest thing around it), from 1. */
  lineOf(path: readonly string[]): number;
}

/**
 * Reads a YAML (or JSON) description of a run. Values are not checked here, names are.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CONFIG naming file, line and key
 */
export async function readConfigFile(path: string, settings?: RunSettings): Promise<ConfigFile> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(error, 'read the configuration', path);
  });
  return parseConfigFile(text, path, settings);
}

/** Like `readConfigFile`, from the text. */
export function parseConfigFile(text: string, path: string, settings = pretrainSettings): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const fault = document.errors[0];
  if (fault) throw bad(`${path}:${lines.linePos(fault.pos[0]).line}: ${faultInWords(fault)}`, fault);
  const lineAt = (offset: number | undefined) => (offset === undefined ? 1 : lines.linePos(offset).line);
  const lineOf = (keys: readonly string[]) => lineAt(offsetOf(document, keys));
  const tree = toTree(document, path);
  checkNames(tree, [], (keys, message) => bad(`${path}:${lineOf(keys)}: ${message}`), settings);
  return { path, tree, lineOf };
}

/** The parser speaks to programmers where it could not be clearer. */
function faultInWords({ code, message }: { readonly code: string; readonly message: string }): string {
  if (code === 'MULTIPLE_DOCS') return "a second description begins after '---'; expected one";
  return message.startsWith('Maximum call stack') ? 'it is nested too deeply to be read' : message;
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
    if (!isTree(value))
      throw fail(here, `'${here.join('.')}' holds settings (${inner.join(', ')}); got ${show(value)}`);
    checkNames(value, here, fail, settings);
  }
}

export function isTree(value: unknown): value is ConfigTree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as a message shows it. */
export function show(value: unknown): string {
  const isNumber = typeof value === 'number';
  const text = value === undefined ? 'nothing' : isNumber ? String(value) : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function toTree(document: Document, path: string): ConfigTree {
  let root: unknown;
  try {
    root = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw bad(`${path}: ${(error as Error).message}`, error);
  }
  if (root === null || root === undefined) return {};
  if (!isTree(root)) throw bad(`${path}:1: expected settings, one 'name: value' a line; got ${show(root)}`);
  return root;
}

/** Where the key of a setting stands in the text; that of the nearest enclosing one when it has none. */
function offsetOf(document: Document, keys: readonly string[]): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const key of keys) {
    if (!isMap(node)) break;
    const pair: unknown = node.items.find(
      (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === key,
    );
    if (!isPair(pair)) break;
    if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}

function bad(message: string, cause?: unknown): LxmertError {
  return new LxmertError('BAD_CONFIG', message, cause === undefined ? undefined : { cause });
}
