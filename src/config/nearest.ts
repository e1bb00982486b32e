import { distance } from 'fastest-levenshtein';

/** The candidate most like `name` (case and `-`/`_` aside), or undefined when none is close. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, '');
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
