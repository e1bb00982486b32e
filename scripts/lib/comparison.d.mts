export function chance(
  questions: readonly {
    readonly label: number | Readonly<Record<string, number>>;
    readonly question_type?: string;
  }[],
): number;
export function lastScore(run: string): number | undefined;
export function shareTable(
  columns: readonly string[],
  rows: readonly { readonly name: string; readonly shares: readonly number[] }[],
): string;
