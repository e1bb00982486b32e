import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { answerLossNames, finetuneTasks } from '../config/finetuneConfig.js';
import { expectation } from '../config/issues.js';
import { LxmertError } from '../errors.js';
import { fileError, systemCode } from '../formats/fileErrors.js';

/** File of a checkpoint that says what questions the model answers. */
export const taskFile = 'task.json';

/** WordPieces of a checkpoint whose vocabulary is not the usual one. */
export const vocabularyFile = 'vocab.txt';

const taskSchema = z.strictObject({
  format: z.literal(1),
  task: z.enum(finetuneTasks),
  pictures: z.union([z.literal(1), z.literal(2)]),
  loss: z.enum(answerLossNames),
  /** Most tokens of a question. */
  maxTokens: z.number().int().min(3),
});

export type TaskDescription = Omit<z.infer<typeof taskSchema>, 'format'>;

export const formatTask = (task: TaskDescription): string => `${JSON.stringify({ format: 1, ...task }, null, 2)}\n`;

/** What a checkpoint was fine-tuned for; undefined when it was not. @throws BAD_CHECKPOINT, FILE_ACCESS */
export async function readTask(folder: string): Promise<TaskDescription | undefined> {
  const path = join(folder, taskFile);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    if (error instanceof SyntaxError)
      throw new LxmertError('BAD_CHECKPOINT', `${path}: it is not JSON`, { cause: error });
    throw fileError(error, 'read', path);
  }
  const result = taskSchema.safeParse(value, { error: expectation });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new LxmertError('BAD_CHECKPOINT', `${path}: ${issue.path.join('.') || 'contents'}: ${issue.message}`);
}

/** A checkpoint's own vocabulary. */
export function vocabularyIn(folder: string): string | undefined {
  const path = join(folder, vocabularyFile);
  return existsSync(path) ? path : undefined;
}
