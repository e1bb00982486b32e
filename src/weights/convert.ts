import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { makeFolder } from '../formats/atomicFile.js';
import { floatsToBFloat16, floatsToHalves } from '../formats/dtypes.js';
import type { TensorValues } from '../formats/dtypes.js';
import { fileError } from '../formats/fileErrors.js';
import {
  answerHead,
  answerRows,
  answersBeside,
  isAnswerRow,
  matchAnswers,
  readAnswerList,
  takeRows,
} from './answers.js';
import { configOf } from './config.js';
import { allowedBy, cover, coverGroups, demandEncoder, namesLeft, some, unequalCopies } from './coverage.js';
import type { Coverage, GroupCoverage, WantedTensor } from './coverage.js';
import { readTextIfThere } from './jsonFile.js';
import { kindOf, wantedOf } from './kinds.js';
import type { ModelKind, ParametersOf } from './kinds.js';
import type { FilesOf, OutputDtype } from './output.js';
import { float32Pieces, openWeights, readFloat32 } from './source.js';
import type { WeightSource } from './source.js';
import { writeTransformersFolder } from './writeFolder.js';
import { exists, writeOriginalFile } from './writeOriginal.js';

export interface ConvertOptions {
  /** Every parameter of a pre-training model. */
  readonly parametersOf: ParametersOf;
  readonly to?: 'transformers' | 'original' | undefined;
  readonly dtype?: OutputDtype | undefined;
  /** Attention heads, for weights without a configuration. */
  readonly heads?: number | undefined;
  readonly allowMissing?: readonly string[] | undefined;
  /** File with the answers of the new head. */
  readonly answers?: string | undefined;
  /** File with the answers of the old head; by default a file beside the weights. */
  readonly answersFrom?: string | undefined;
  /** Another file with the answers of the old head, which may not exist. It is used if it has one answer for each row. */
  readonly usualAnswers?: string | undefined;
  /** Changes the text files of a transformers folder, or adds some. */
  readonly filesOf?: FilesOf | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ConvertReport extends Coverage {
  readonly from: string;
  readonly to: string;
  readonly form: 'transformers' | 'original';
  readonly kind: ModelKind;
  readonly dtype: OutputDtype;
  readonly groups: readonly GroupCoverage[];
  /**
   * Number of answers of the new list that the old head has, and the answers that it does not have. The rows of these
   * answers are zeros.
   */
  readonly answers?: { readonly carried: number; readonly of: number; readonly zero: readonly string[] };
  readonly notes: readonly string[];
}

/**
 * Converts weights of any form that `openWeights` reads into a transformers folder or a `.pth` of the original.
 * @throws as `openWeights` and `configOf`; BAD_CHECKPOINT if weights of the encoder, or some weights of a head, are missing or
 *   have another shape; BAD_ARGUMENT if `to` exists already; FILE_ACCESS
 */
export async function convertWeights(from: string, to: string, options: ConvertOptions): Promise<ConvertReport> {
  const form = options.to ?? 'transformers';
  await demandFree(to, form);
  const source = await openWeights(from);
  try {
    return await convertFrom(source, to, form, options);
  } finally {
    await source.close();
  }
}

async function convertFrom(
  source: WeightSource,
  to: string,
  form: 'transformers' | 'original',
  {
    parametersOf,
    dtype = 'F32',
    heads,
    allowMissing,
    answers: newList,
    answersFrom,
    usualAnswers,
    filesOf,
    signal,
  }: ConvertOptions,
): Promise<ConvertReport> {
  const { config, notes, tasks } = await configOf(source, heads);
  const kind = kindOf(source, config);
  const wanted = wantedOf(source, config, kind, parametersOf);
  const found = cover(source, wanted);
  demandEncoder(source, found, wanted, { allowed: allowMissing });
  demandHeads(source.path, found, allowedBy(allowMissing ?? [], wanted));
  const known =
    answersFrom === undefined
      ? ((await answersBeside(source)) ?? (await answersAt(source, usualAnswers)))
      : await readAnswerList(answersFrom);
  const moved =
    newList === undefined ? undefined : moveHead(source, kind, await readAnswerList(newList), known, newList);

  const left = new Set(namesLeft(found));
  const tensors = wanted
    .filter(({ name }) => !left.has(name))
    .map((tensor) => (moved && isAnswerRow(tensor.name) ? { ...tensor, shape: moved.shapeOf(tensor) } : tensor));
  async function* pieces(name: string): AsyncGenerator<TensorValues, void, undefined> {
    const tensor = source.tensors.get(name)!;
    const floats =
      moved && isAnswerRow(name)
        ? [moved.valuesOf(name, await readFloat32(tensor, source.path))]
        : float32Pieces(tensor, source.path);
    for await (const values of floats) {
      signal?.throwIfAborted();
      yield inDtype(values, dtype, name, source.path);
    }
  }
  const copies = await unequalCopies(source);
  const model = {
    kind,
    tasks,
    dtype,
    tensors,
    pieces,
    filesOf,
    config: moved ? { ...config, numQaLabels: moved.answers.length } : config,
    answers: moved?.answers ?? (answerHead(source)?.bias.shape[0] === known?.length ? known : undefined),
    vocabulary: source.isFolder ? await readTextIfThere(join(source.folder, 'vocab.txt')) : undefined,
  };
  if (form === 'transformers') {
    await makeParent(to);
    await writeTransformersFolder(to, model);
  } else await writeOriginalFile(to, model);
  return {
    from: source.path,
    to,
    form,
    kind,
    dtype,
    ...found,
    groups: coverGroups(wanted, (name, numbers) => (left.has(name) ? 0 : numbers)),
    answers: moved?.report,
    notes: [...source.notes, ...notes, ...copies, ...notesOn(kind, form)],
  };
}

/** The list of answers in a file; undefined if there is no such file or its length is not that of the head. */
async function answersAt(source: WeightSource, path: string | undefined): Promise<readonly string[] | undefined> {
  if (path === undefined || !(await exists(path))) return undefined;
  const answers = await readAnswerList(path);
  return answers.length === answerHead(source)?.bias.shape[0] ? answers : undefined;
}

/** Refuses an output that exists: it may be the only copy of some weights, so it is never replaced. */
async function demandFree(to: string, form: 'transformers' | 'original'): Promise<void> {
  if (!(await exists(to))) return;
  const empty = form === 'transformers' && (await readdir(to).catch(() => ['a file'])).length === 0;
  if (!empty)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${to} exists already; give the name of a new ${form === 'original' ? 'file' : 'folder'}`,
    );
}

async function makeParent(path: string): Promise<void> {
  try {
    await makeFolder(dirname(path));
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}

/** Refuses weights with an incomplete head, because the output would have an incomplete head, too. */
function demandHeads(path: string, { missing, misshapen }: Coverage, isAllowed: (name: string) => boolean): void {
  const lost = [...missing.filter((name) => !isAllowed(name)), ...misshapen];
  const heads = lost.filter((text) => !text.startsWith('lxmert.'));
  if (heads.length > 0)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${path}: ${heads.length} weights of heads are missing or of another shape: ${some(heads)}`,
    );
}

interface MovedHead {
  readonly answers: readonly string[];
  readonly report: NonNullable<ConvertReport['answers']>;
  readonly shapeOf: (tensor: WantedTensor) => readonly number[];
  readonly valuesOf: (name: string, values: Float32Array) => Float32Array;
}

/** Makes the last layer of the head for another list of answers. */
function moveHead(
  source: WeightSource,
  kind: ModelKind,
  answers: readonly string[],
  known: readonly string[] | undefined,
  file: string,
): MovedHead {
  const head = answerHead(source);
  if (!head || kind === 'nlvr2')
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${source.path} has no answer head that could be used for the answers of ${file}`,
    );
  const count = head.bias.shape[0];
  if (!known)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${source.path}: the answers of the ${count} rows of its head are not known. Give their list with --answers-from: ` +
        "for the original's pre-trained models data/lxmert/all_ans.json, for fine-tuned ones trainval_label2ans.json",
    );
  if (known.length !== count)
    throw new LxmertError(
      'BAD_DATA',
      `${source.path}: its answer head has ${count} rows, but the list has ${known.length} answers`,
    );
  const rows = matchAnswers(answers, known);
  const zero = answers.filter((_, i) => rows[i] === undefined);
  return {
    answers,
    report: { carried: answers.length - zero.length, of: answers.length, zero },
    shapeOf: ({ shape: [, ...row] }) => [answers.length, ...row],
    valuesOf: (name, values) => takeRows(values, name === answerRows.weight ? head.weight.shape[1] : 1, rows),
  };
}

function inDtype(values: Float32Array, dtype: OutputDtype, name: string, path: string): TensorValues {
  switch (dtype) {
    case 'F32':
      return values;
    case 'BF16':
      return floatsToBFloat16(values);
    case 'F16': {
      const halves = new Uint16Array(values.length);
      const beyond = floatsToHalves(values, halves);
      if (beyond >= 0 && Number.isFinite(values[beyond]))
        throw new LxmertError(
          'BAD_DATA',
          `${path}: ${name} contains ${values[beyond]}, which is too large for float16; use float32 or bfloat16`,
        );
      return halves;
    }
  }
}

function notesOn(kind: ModelKind, form: 'transformers' | 'original'): string[] {
  return kind === 'nlvr2' && form === 'transformers'
    ? ["transformers has no class for NLVR2's head: LxmertModel loads the encoder, and does not use answer_head.*"]
    : [];
}
