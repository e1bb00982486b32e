import { LineCounter, isMap, isPair, isScalar, parseDocument } from 'yaml';
import type { LxmertError } from '../errors.js';

/** A parsed YAML text. */
export interface YamlText {
  /** The value of the text; undefined or null for an empty text. */
  readonly root: unknown;
  /** The line of a key, from 1. If the text does not have the key, the line of the nearest enclosing key. */
  readonly lineOf: (path: readonly string[]) => number;
}

/**
 * Reads one YAML (or JSON) document.
 * @param fail makes the error; `line` is counted from 1, or undefined if the parser does not give it
 */
export function parseYaml(
  text: string,
  fail: (line: number | undefined, problem: string, cause: unknown) => LxmertError,
): YamlText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const fault = document.errors[0];
  if (fault) throw fail(lines.linePos(fault.pos[0]).line, faultInWords(fault), fault);
  let root: unknown;
  try {
    root = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw fail(undefined, (error as Error).message, error);
  }
  return {
    root,
    lineOf: (path) => {
      const offset = offsetOf(document.contents, path);
      return offset === undefined ? 1 : lines.linePos(offset).line;
    },
  };
}

/** Replaces two messages of the parser that users would not understand. */
function faultInWords({ code, message }: { readonly code: string; readonly message: string }): string {
  if (code === 'MULTIPLE_DOCS') return "a second description begins after '---'; expected one";
  return message.startsWith('Maximum call stack') ? 'it is nested too deeply to be read' : message;
}

/** The position of a key in the text, or of the nearest enclosing key that the text has. */
function offsetOf(contents: unknown, keys: readonly string[]): number | undefined {
  let node = contents;
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
