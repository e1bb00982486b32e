import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, jest } from '@jest/globals';
import { runCli } from '../../src/cli/run.js';
import type { CommandTable } from '../../src/cli/run.js';
import { readQuestions } from '../../src/finetune/questions/index.js';
import type { Question, QuestionTask } from '../../src/finetune/questions/index.js';

export const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** A temporary folder into which files are written: text unchanged, other values as JSON. */
export function fileFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'finetune-'));
  let count = 0;
  const put = (content: unknown, name = `file-${(count += 1)}.json`): string => {
    const file = join(folder, name);
    writeFileSync(file, typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content));
    return file;
  };
  return { folder, put, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** All questions of a file. */
export async function questionsOf(
  task: QuestionTask,
  files: string | string[],
  labelsOnly = false,
): Promise<Question[]> {
  const questions: Question[] = [];
  await readQuestions({ task, files, labelsOnly }, (question) => questions.push(question));
  return questions;
}

/** Expects a rejection with this code, and every one of these words in the message. */
export async function refused(promise: Promise<unknown>, code: string, ...words: string[]): Promise<void> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code });
  for (const word of words) expect((error as Error).message).toContain(word);
}

/** Runs a command and returns its output. */
export async function command(table: CommandTable, ...args: string[]) {
  let out = '';
  let err = '';
  const spies = [
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true)),
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true)),
  ];
  try {
    const code = await runCli(args, table);
    return { code, out, err };
  } finally {
    spies.forEach((spy) => spy.mockRestore());
  }
}
