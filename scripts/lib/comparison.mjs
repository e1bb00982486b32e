import { readFileSync } from 'node:fs';

/**
 * Share of the questions that are right without the pictures: each kind of question gets its most frequent answer.
 * @param {readonly { label: number | Record<string, number>, question_type?: string }[]} questions of the scenes, in the form of
 *   VQA or NLVR2
 */
export function chance(questions) {
  const kinds = new Map();
  for (const { label, question_type: kind } of questions) {
    const answers = kinds.get(kind) ?? new Map();
    const answer = typeof label === 'number' ? String(label) : Object.keys(label)[0];
    kinds.set(kind, answers.set(answer, (answers.get(answer) ?? 0) + 1));
  }
  const guessed = [...kinds.values()].reduce((sum, answers) => sum + Math.max(...answers.values()), 0);
  return guessed / questions.length;
}

/**
 * Score of the last validation of a fine-tuning run.
 * @param {string} run folder
 * @returns {number | undefined}
 */
export function lastScore(run) {
  const lines = readFileSync(`${run}/metrics.jsonl`, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line).score).findLast((score) => score !== undefined);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/**
 * A table of rows with a share in each column.
 * @param {readonly string[]} columns
 * @param {readonly { name: string, shares: readonly number[] }[]} rows
 */
export function shareTable(columns, rows) {
  const first = Math.max(...rows.map(({ name }) => name.length));
  const widths = columns.map((title) => Math.max(title.length, 8) + 3);
  const line = (name, cells) => name.padEnd(first) + cells.map((cell, i) => cell.padStart(widths[i])).join('');
  return [line('', columns), ...rows.map(({ name, shares }) => line(name, shares.map(percent)))].join('\n');
}
