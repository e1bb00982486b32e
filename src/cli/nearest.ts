/** Edits (insert, delete, replace one letter, swap two neighbours) that turn one word into another. */
function editDistance(a: string, b: string): number {
  // rows[i][j]: distance of the first i letters of a and the first j of b.
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2][j - 2] + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length][b.length];
}

/** The name that was probably meant, or undefined where none is near: a third of the letters may be wrong. */
export function nearestName(word: string, names: readonly string[]): string | undefined {
  const scored = names
    .map((name) => ({ name, distance: name.startsWith(word) && word.length > 1 ? 0 : editDistance(word, name) }))
    .sort((a, b) => a.distance - b.distance);
  const best = scored[0];
  return best && best.distance <= Math.max(1, Math.ceil(word.length / 3)) ? best.name : undefined;
}
