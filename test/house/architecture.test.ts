import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const page = readFileSync(fileURLToPath(new URL('../../docs/architecture.md', import.meta.url)), 'utf8');

/** The rooms of the table, and the rooms that each may import. */
function readTable(): Map<string, string[]> {
  const rows = [...page.matchAll(/^\| `src\/(\w+)` \|.*\| (.*) \|$/gm)];
  const rooms = rows.map(([, room]) => room);
  return new Map(
    rows.map(([, room, uses]) => {
      if (uses === 'everything') return [room, rooms.filter((other) => other !== room)];
      return [room, /^`([\w ]+)`/.exec(uses)?.[1].split(' ') ?? []];
    }),
  );
}

/** The arrows of the picture. */
function readPicture(): Map<string, string[]> {
  const picture = /```mermaid\n([^`]*)```/.exec(page)?.[1] ?? '';
  const arrows = new Map<string, string[]>();
  for (const [, from, to] of picture.matchAll(/^ *(\w+) --> (\w+)$/gm))
    arrows.set(from, [...(arrows.get(from) ?? []), to]);
  return arrows;
}

/** All rooms that can be reached from a room along one or more arrows. */
function reachable(arrows: ReadonlyMap<string, readonly string[]>, from: string): Set<string> {
  const found = new Set<string>();
  const visit = (room: string): void => {
    for (const next of arrows.get(room) ?? []) {
      if (found.has(next)) continue;
      found.add(next);
      visit(next);
    }
  };
  visit(from);
  return found;
}

describe('the picture of the rooms in docs/architecture.md', () => {
  const table = readTable();
  const picture = readPicture();

  test('has an arrow for some import of each room that may import', () => {
    const importing = [...table].filter(([, uses]) => uses.length > 0).map(([room]) => room);
    expect([...picture.keys()].sort()).toEqual(importing.sort());
  });

  test('shows only imports that the table allows', () => {
    for (const [room, uses] of picture)
      expect([room, uses.filter((to) => !table.get(room)?.includes(to))]).toEqual([room, []]);
  });

  test('has a path of arrows to every room that the table allows', () => {
    for (const [room, uses] of table) {
      const led = reachable(picture, room);
      expect([room, uses.filter((to) => !led.has(to))]).toEqual([room, []]);
    }
  });
});
