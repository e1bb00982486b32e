import { LxmertError } from '../errors.js';
import { answerHead, answerRows, answersBeside, isAnswerRow, matchAnswers, takeRows } from './answers.js';
import { headsBeside } from './config.js';
import { cover, coverGroups, demandEncoder, namesLeft, unequalCopies } from './coverage.js';
import type { Coverage, GroupCoverage, WantedTensor } from './coverage.js';
import { openWeights, readFloat32 } from './source.js';
import type { WeightSource } from './source.js';

/** What weights are loaded into. */
export interface TargetModel {
  readonly parameters: readonly WantedTensor[];
  /** Attention heads; where the weights say another number, they are refused. */
  readonly numAttentionHeads?: number | undefined;
  /** Float32 in row-major order. The values are only valid until the promise resolves. */
  readonly write: (name: string, values: Float32Array) => Promise<void>;
}

export interface LoadOptions {
  /** Answers of the model's answer head, by row. Without them its last layer stays as it is. */
  readonly answers?: readonly string[] | undefined;
  /** Encoder weights that may be missing: names, or patterns with `*`. */
  readonly allowMissing?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LoadReport extends Coverage {
  /** Answers whose rows of the answer head were carried over, of so many; absent when the model has no answers. */
  readonly answers?: { readonly carried: number; readonly of: number };
  readonly groups: readonly GroupCoverage[];
  readonly notes: readonly string[];
}

/**
 * Loads weights of any form into a model. Heads that are missing or of another shape keep their values; the encoder must
 * be there, of a BERT its language part. The answer head's last layer goes by answer string, never by index: rows of
 * answers that the weights do not have become zeros, as in the original; weights that come without a list of answers
 * leave it as it is. Nothing is written before all names and shapes are checked.
 * @throws as `openWeights`; BAD_CHECKPOINT when encoder weights are missing or of other shapes; BAD_ARGUMENT for a
 *   pattern that names nothing; the signal's reason
 */
export async function loadWeights(path: string, model: TargetModel, options: LoadOptions = {}): Promise<LoadReport> {
  const source = await openWeights(path);
  try {
    return await loadFrom(source, model, options);
  } finally {
    await source.close();
  }
}

async function loadFrom(
  source: WeightSource,
  model: TargetModel,
  { answers, allowMissing, signal }: LoadOptions,
): Promise<LoadReport> {
  const byIndex = model.parameters.filter(({ name }) => !isAnswerRow(name));
  const found = cover(source, byIndex);
  demandEncoder(source, found, model.parameters, { allowed: allowMissing, bertAlone: true });
  await demandHeads(source, model.numAttentionHeads);
  const theirs = await answersBeside(source);
  const rows = answers && theirs ? rowsFor(source, model, answers, theirs) : undefined;
  const notes = [...source.notes, ...(await unequalCopies(source))];
  const left = new Set(namesLeft(found));
  const loaded = byIndex.filter(({ name }) => !left.has(name));
  // One buffer for all of them: fresh memory costs far more time than reading does.
  const numbers = loaded.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const buffer = new Float32Array(numbers.reduce((a, b) => Math.max(a, b), 0));
  for (const { name } of loaded) {
    signal?.throwIfAborted();
    await model.write(name, await readFloat32(source.tensors.get(name)!, source.path, buffer));
  }
  const carried = rows?.filter((row) => row !== undefined).length ?? 0;
  if (rows) await writeRows(source, model, rows);
  return {
    ...found,
    unexpected: found.unexpected.filter((name) => !isAnswerRow(name)),
    ...(answers ? { answers: { carried, of: answers.length } } : {}),
    groups: coverGroups(model.parameters, (name, numbers) =>
      isAnswerRow(name) ? (numbers * carried) / (answers?.length ?? 1) : left.has(name) ? 0 : numbers,
    ),
    notes,
  };
}

/** The head's number of heads cannot be told from shapes; another one computes something else without a word. */
async function demandHeads(source: WeightSource, own: number | undefined): Promise<void> {
  const theirs = await headsBeside(source);
  if (theirs !== undefined && own !== undefined && theirs !== own)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${source.path}: its config.json says ${theirs} attention heads; the model has ${own}. Set numAttentionHeads to ${theirs}`,
    );
}

/** Their row for each of our answers; undefined when nothing can be carried, and the head stays as it is. */
function rowsFor(
  source: WeightSource,
  model: TargetModel,
  answers: readonly string[],
  theirs: readonly string[],
): readonly (number | undefined)[] | undefined {
  const head = answerHead(source);
  const own = model.parameters.find(({ name }) => name === answerRows.weight);
  if (!head || !own || head.weight.shape[1] !== own.shape[1] || own.shape[0] !== answers.length) return undefined;
  if (theirs.length !== head.weight.shape[0]) return undefined;
  const rows = matchAnswers(answers, theirs);
  return rows.some((row) => row !== undefined) ? rows : undefined;
}

async function writeRows(
  source: WeightSource,
  model: TargetModel,
  rows: readonly (number | undefined)[],
): Promise<void> {
  const { weight, bias } = answerHead(source)!;
  await model.write(answerRows.weight, takeRows(await readFloat32(weight, source.path), weight.shape[1], rows));
  await model.write(answerRows.bias, takeRows(await readFloat32(bias, source.path), 1, rows));
}
