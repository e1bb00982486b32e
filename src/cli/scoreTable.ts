import type { Score } from '../finetune/scores/index.js';
import { percent, whole } from './trainProgress.js';

/** Formats a score as lines of text. */
export function scoreTable({
  accuracy,
  consistency,
  questions,
  statements,
  byType,
  byQuestionType,
}: Omit<Score, 'missing' | 'unknown'>): string[] {
  const row = (name: string, share: number): string => name.padEnd(32) + percent(share).padStart(9);
  const rows = (title: string, shares: Readonly<Record<string, number>> | undefined): string[] =>
    shares === undefined ? [] : ['', title, ...Object.entries(shares).map(([name, share]) => row(`  ${name}`, share))];
  return [
    row(`accuracy of ${whole(questions)} questions`, accuracy),
    ...(consistency === undefined ? [] : [row(`consistency of ${whole(statements ?? 0)} statements`, consistency)]),
    ...rows('by type', byType),
    ...rows('by question type', byQuestionType),
  ];
}
