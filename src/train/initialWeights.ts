import { join } from 'node:path';
import { normalizeAnswer } from '../data/samples/answers.js';
import { LxmertError } from '../errors.js';
import type { SafetensorsFile } from '../formats/safetensors.js';
import { checkpointFiles, readCheckpointAnswers } from './checkpoint.js';
import { listCheckpoints } from './checkpointStore.js';
import { cover, some, withFiles } from './coverage.js';
import type { Coverage } from './coverage.js';
import type { StoredModel } from './trainable.js';
import { runFiles } from './runFolder.js';

/** The answer head's last layer: a row an answer. */
const answerRows = ['answer_head.logit_fc.3.weight', 'answer_head.logit_fc.3.bias'];

export interface InitialCoverage extends Coverage {
  /** Answers whose rows of the answer head were carried over, of so many; absent when the model has no answers. */
  readonly answers?: { readonly carried: number; readonly of: number };
}

/**
 * What can be told of initial weights before there are data and a model, which may take minutes: that there are some.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_CHECKPOINT, RUN_FOLDER as `loadInitialWeights`
 */
export async function lookForInitialWeights(folder: string): Promise<void> {
  await demandNoRunFolder(folder);
  await withFiles([join(folder, checkpointFiles.model)], () => Promise.resolve());
}

/**
 * Takes initial weights from a `model.safetensors`, ours or transformers' (`bert.` for `lxmert.` too). Heads that are
 * missing or of another shape keep their values; the encoder must be there. The answer head's last layer is carried by
 * answer string, never by index: a checkpoint without `answers.json` leaves it as drawn.
 * @param answers of the model, by row
 * @throws BAD_CHECKPOINT when encoder weights are missing or of other shapes; FILE_MISSING, FILE_ACCESS; RUN_FOLDER for
 *   a run instead of one of its checkpoints; the signal's reason
 */
export async function loadInitialWeights(
  folder: string,
  model: StoredModel,
  answers?: readonly string[],
  signal?: AbortSignal,
): Promise<InitialCoverage> {
  await demandNoRunFolder(folder);
  const theirs = await readCheckpointAnswers(folder);
  return withFiles([join(folder, checkpointFiles.model)], async ([file]) => {
    const original = ![...file.entries.keys()].some((name) => name.startsWith('lxmert.'));
    const nameInFile = (name: string) => (original ? name.replace(/^lxmert\./, 'bert.') : name);
    const byIndex = model.parameters.filter(({ name }) => !answerRows.includes(name));
    const found = cover(file, byIndex, nameInFile);
    const coverage = { ...found, unexpected: found.unexpected.filter((name) => !answerRows.includes(name)) };
    demandEncoder(file.path, coverage);
    const left = new Set([...coverage.missing, ...coverage.misshapen.map((text) => text.slice(0, text.indexOf(':')))]);
    for (const { name } of byIndex) {
      signal?.throwIfAborted();
      if (!left.has(name)) await model.write('parameter', name, await file.readFloat32(nameInFile(name)));
    }
    if (!answers) return coverage;
    const carried = theirs ? await carryAnswers(file, model, matchAnswers(answers, theirs)) : 0;
    return { ...coverage, answers: { carried, of: answers.length } };
  });
}

/** A run is easily given for one of its checkpoints. */
async function demandNoRunFolder(folder: string): Promise<void> {
  const checkpoints = join(folder, runFiles.checkpoints);
  if ((await listCheckpoints(checkpoints)).length > 0)
    throw new LxmertError(
      'RUN_FOLDER',
      `${folder} is a run; initial weights come from one of its checkpoints, such as ${join(checkpoints, 'last')}`,
    );
}

function demandEncoder(path: string, { missing, misshapen }: Coverage): void {
  const lost = [...missing, ...misshapen].filter((text) => text.startsWith('lxmert.'));
  if (lost.length > 0)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${path}: ${lost.length} encoder weights are missing or of another shape: ${some(lost)}. ` +
        'Do hiddenSize, intermediateSize and the numbers of layers agree with its config.json?',
    );
}

/** Pairs of rows, ours and theirs, of the same answer. */
function matchAnswers(ours: readonly string[], theirs: readonly string[]): readonly (readonly [number, number])[] {
  const rows = new Map(theirs.map((answer, row) => [normalizeAnswer(answer), row]));
  return ours.flatMap((answer, row) => {
    const other = rows.get(normalizeAnswer(answer));
    return other === undefined ? [] : [[row, other] as const];
  });
}

/** @returns the rows carried: none when the file has no such head, or one of another width or length */
async function carryAnswers(
  file: SafetensorsFile,
  model: StoredModel,
  pairs: readonly (readonly [number, number])[],
): Promise<number> {
  const heads = answerRows.map((name) => ({
    entry: file.entries.get(name),
    own: model.parameters.find((parameter) => parameter.name === name),
  }));
  const rowsInFile = 1 + pairs.reduce((most, [, row]) => Math.max(most, row), -1);
  const fits = heads.every(
    ({ entry, own }) =>
      entry && own && entry.shape[0] >= rowsInFile && String(entry.shape.slice(1)) === String(own.shape.slice(1)),
  );
  if (!fits) return 0;
  for (const name of answerRows) {
    const source = await file.readFloat32(name);
    const values = await model.read('parameter', name);
    const width = source.length / file.entry(name).shape[0];
    for (const [to, from] of pairs) values.set(source.subarray(from * width, (from + 1) * width), to * width);
    await model.write('parameter', name, values);
  }
  return pairs.length;
}
