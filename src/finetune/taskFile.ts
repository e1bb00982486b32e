import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { answerLossNames, finetuneTasks } from '../config/finetuneConfig.js';
import { expectation } from '../config/issues.js';
import { LxmertError } from '../errors.js';
import { fileError, systemCode } from '../formats/fileErrors.js';

/** The file of a checkpoint that describes the task of the model. */
export const taskFile = 'task.json';

/**
 * The vocabulary of a checkpoint. A checkpoint has this file only if its vocabulary is not that of bert-base-uncased.
 */
export const vocabularyFile = 'vocab.txt';

const taskSchema = z.strictObject({
  format: z.literal(1),
  task: z.enum(finetuneTasks),
  pictures: z.union([z.literal(1), z.literal(2)]),
  loss: z.enum(answerLossNames),
  /** The largest number of tokens of a question. */
  maxTokens: z.number().int().min(3),
});

export type TaskDescription = Omit<z.infer<typeof taskSchema>, 'format'>;

export const formatTask = (task: TaskDescription): string => `${JSON.stringify({ format: 1, ...task }, null, 2)}\n`;

/** The task of a fine-tuned checkpoint; undefined for other checkpoints. @throws BAD_CHECKPOINT, FILE_ACCESS */
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

/** The vocabulary file of a checkpoint; undefined if it has none. */
export function vocabularyIn(folder: string): string | undefined {
  const path = join(folder, vocabularyFile);
  return existsSync(path) ? path : undefined;
}
