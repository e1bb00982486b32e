import { LineCounter, isMap, isPair, isScalar, parseDocument } from 'yaml';
import type { LxmertError } from '../errors.js';

/** A YAML text, read. */
export interface YamlText {
  /** Its value; undefined or null for an empty text. */
  readonly root: unknown;
  /** Line of a key (or of the nearest key around it), from 1. */
  readonly lineOf: (path: readonly string[]) => number;
}

/**
 * Reads one YAML (or JSON) document.
 * @param fail makes the error; `line` is from 1, or undefined where the parser does not tell
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

/** Two faults whose text in the parser is for programmers. */
function faultInWords({ code, message }: { readonly code: string; readonly message: string }): string {
  if (code === 'MULTIPLE_DOCS') return "a second description begins after '---'; expected one";
  return message.startsWith('Maximum call stack') ? 'it is nested too deeply to be read' : message;
}

/** Where a key stands in the text; that of the nearest enclosing one when it has none. */
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
