import { LxmertError } from '../errors.js';
import { answerHead, answerRows, answersBeside, isAnswerRow, matchAnswers, takeRows } from './answers.js';
import { headsBeside } from './config.js';
import { cover, coverGroups, demandEncoder, namesLeft, unequalCopies } from './coverage.js';
import type { Coverage, GroupCoverage, WantedTensor } from './coverage.js';
import { openWeights, readFloat32 } from './source.js';
import type { WeightSource } from './source.js';

/** The model into which weights are loaded. */
export interface TargetModel {
  readonly parameters: readonly WantedTensor[];
  /** Number of attention heads. Weights whose configuration has another number are refused. */
  readonly numAttentionHeads?: number | undefined;
  /** Writes float32 values in row-major order. The array is used again after the promise resolves. */
  readonly write: (name: string, values: Float32Array) => Promise<void>;
}

export interface LoadOptions {
  /** Answers of the model's answer head, by row. If absent, the last layer of the head does not change. */
  readonly answers?: readonly string[] | undefined;
  /** Encoder weights that may be missing: names, or patterns with `*`. */
  readonly allowMissing?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LoadReport extends Coverage {
  /** Number of answers whose rows were copied, and of all answers; absent if the model has no list of answers. */
  readonly answers?: { readonly carried: number; readonly of: number };
  readonly groups: readonly GroupCoverage[];
  readonly notes: readonly string[];
}

/**
 * Loads weights of any form into a model. Heads that are missing or have another shape keep their values. The encoder
 * must not be missing; for a BERT, its language part. Rows of the answer head's last layer are found by answer string,
 * never by index. Rows of answers that the weights do not have become zeros, as in the original. If the weights have no
 * list of answers, this layer does not change. Nothing is written before all names and shapes are checked.
 * @throws as `openWeights`; BAD_CHECKPOINT if encoder weights are missing or have other shapes; BAD_ARGUMENT for a
 *   pattern that fits no name; the signal's reason
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
  // One buffer is used for all tensors, because new memory for each would take more time than reading.
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

/** Refuses weights with another number of attention heads. Shapes do not show this number, and the results would be wrong. */
async function demandHeads(source: WeightSource, own: number | undefined): Promise<void> {
  const theirs = await headsBeside(source);
  if (theirs !== undefined && own !== undefined && theirs !== own)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${source.path}: its config.json says ${theirs} attention heads; the model has ${own}. Set numAttentionHeads to ${theirs}`,
    );
}

/** For each of our answers the row in the weights; undefined if no row can be copied, so that the head does not change. */
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
