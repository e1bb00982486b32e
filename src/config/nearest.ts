import { distance } from 'fastest-levenshtein';

/** Other names that users give, and the names in lxmert. */
const synonyms: Readonly<Record<string, string>> = { gpu: 'cuda', nvidia: 'cuda' };

/** The candidate most similar to `name` (without case, `-` and `_`); undefined if none is similar. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, '');
  const synonym = synonyms[plain(name).replace(/:\d+$/, '')];
  if (synonym !== undefined && candidates.includes(synonym)) return synonym;
  let best: string | undefined;
  let least = Math.max(1, Math.ceil(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const isStart = name.length > 1 && plain(candidate).startsWith(plain(name));
    const edits = isStart ? 0 : distance(plain(name), plain(candidate));
    if (edits < least) [best, least] = [candidate, edits];
  }
  return best;
}

/** Returns ` Did you mean X?`, or the list of known names if none is similar. */
export function suggestion(name: string, candidates: readonly string[]): string {
  const near = nearest(name, candidates);
  return near === undefined ? ` Known here: ${candidates.join(', ')}.` : ` Did you mean '${near}'?`;
}
