import { distance } from 'fastest-levenshtein';

/** Names that people use for one of ours. */
const synonyms: Readonly<Record<string, string>> = { gpu: 'cuda', nvidia: 'cuda' };

/** The candidate most like `name` (case and `-`/`_` aside), or undefined when none is close. */
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

/** ` Did you mean X?`, or what is known when nothing is close. */
export function suggestion(name: string, candidates: readonly string[]): string {
  const near = nearest(name, candidates);
  return near === undefined ? ` Known here: ${candidates.join(', ')}.` : ` Did you mean '${near}'?`;
}
