import { LxmertError } from '../errors.js';
import { PickleDict, PickleTuple } from './pickle.js';
import type { PickleValue } from './pickle.js';
import { shown } from './shown.js';
import { TorchTensor } from './torchPickle.js';

/** The tensors of one dict of a saved object. */
export interface TensorDict {
  /** The keys that lead from the saved object to this dict; `[]` for the saved object itself. */
  readonly path: readonly string[];
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Keys whose values are not tensors. */
  readonly others: readonly string[];
  /** Keys of tensors that are not texts. */
  readonly unnamed: readonly string[];
}

/** Deepest nesting. Objects that trainers save are not nested so deeply. */
const maxDepth = 100;

/**
 * Finds every dict with tensors in a saved object, the outermost first. Each object is visited only once, so a dict may
 * contain itself.
 * @throws BAD_DATA if a dict has a name twice, or the nesting is too deep
 */
export function collectTensors(root: PickleValue, file: string): readonly TensorDict[] {
  const found: TensorDict[] = [];
  const seen = new Set<PickleValue>([root]);
  let level: { value: PickleValue; path: readonly string[] }[] = [{ value: root, path: [] }];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) throw new LxmertError('BAD_DATA', `${file}: it is nested more than ${maxDepth} deep`);
    const next: typeof level = [];
    for (const { value, path } of level) {
      if (value instanceof PickleDict) {
        const dict = tensorsOf(value, path, file);
        if (dict.tensors.size > 0) found.push(dict);
      }
      for (const [key, child] of children(value)) {
        if (!isContainer(child) || seen.has(child)) continue;
        seen.add(child);
        next.push({ value: child, path: [...path, key] });
      }
    }
    level = next;
  }
  return found;
}

function tensorsOf({ pairs }: PickleDict, path: readonly string[], file: string): TensorDict {
  const where = path.length === 0 ? '' : ` under ${shown(path.join('.'))}`;
  const tensors = new Map<string, TorchTensor>();
  const others: string[] = [];
  const unnamed: string[] = [];
  const names = new Set<PickleValue>();
  for (const [key, value] of pairs) {
    const name = keyText(key);
    if (names.has(key) && (value instanceof TorchTensor || tensors.has(name)))
      throw new LxmertError('BAD_DATA', `${file}: it has two values named ${shown(name)}${where}`);
    names.add(key);
    if (!(value instanceof TorchTensor)) others.push(name);
    else if (typeof key === 'string') tensors.set(name, value);
    else unnamed.push(name);
  }
  return { path, tensors, others, unnamed };
}

function* children(value: PickleValue): Generator<readonly [string, PickleValue]> {
  if (value instanceof PickleDict) for (const [key, child] of value.pairs) yield [keyText(key), child];
  else if (value instanceof PickleTuple) for (const [i, child] of value.items.entries()) yield [String(i), child];
  else if (Array.isArray(value)) for (const [i, child] of value.entries()) yield [String(i), child];
}

const isContainer = (value: PickleValue): boolean =>
  value instanceof PickleDict || value instanceof PickleTuple || Array.isArray(value);

/** Formats a key for a message or a path. */
function keyText(key: PickleValue): string {
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key) : '(no text)';
}
