/** Typed helpers for objects with known keys. */

/** The keys of a table, in its order. */
export function keysOf<T extends object>(table: T): readonly (keyof T & string)[] {
  return Object.keys(table) as (keyof T & string)[];
}

/** A record with a value for each name. */
export function recordOf<K extends string, V>(
  names: readonly K[],
  valueOf: (name: K, index: number) => V,
): Record<K, V> {
  return Object.fromEntries(names.map((name, i) => [name, valueOf(name, i)])) as Record<K, V>;
}

/** Whether a value of unknown origin, such as parsed JSON, is an object with keys (no list, not null). */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The entries of a record some of whose keys may be absent or undefined. */
export function entriesOf<V>(record: Readonly<Partial<Record<string, V>>>): [string, V][] {
  return Object.entries(record).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
}
