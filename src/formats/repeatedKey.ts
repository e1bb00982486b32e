/**
 * Finds the first key that an object of a JSON text has twice, at any depth; undefined if there is none. `JSON.parse` uses
 * the last of equal keys without an error. The text must be JSON.
 */
export function repeatedKey(json: string): string | undefined {
  // The keys of each enclosing object; undefined for an enclosing array.
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x7b /* { */:
        open.push(new Set());
        break;
      case 0x5b /* [ */:
        open.push(undefined);
        break;
      case 0x7d /* } */:
      case 0x5d /* ] */:
        open.pop();
        break;
      case 0x22 /* " */: {
        const begin = at;
        at = endOfString(json, begin);
        const keys = open.at(-1);
        if (!keys || !isKey(json, at + 1)) break;
        const key = JSON.parse(json.slice(begin, at + 1)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
        break;
      }
    }
  }
  return undefined;
}

/** The position of the closing quote of the string that begins at `begin`. */
function endOfString(json: string, begin: number): number {
  let at = begin + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}

/** Whether the next character that is not a space is a colon. */
function isKey(json: string, from: number): boolean {
  let at = from;
  while (' \t\r\n'.includes(json[at] ?? 'x')) at++;
  return json[at] === ':';
}
