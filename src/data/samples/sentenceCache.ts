import { createHash } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { makeFolder, syncFolder, temporaryBeside } from '../../formats/atomicFile.js';
import { fileError, isThere, readFailure } from '../../formats/fileErrors.js';
import { SafetensorsFile, writeSafetensors } from '../../formats/safetensors.js';
import type { TensorSpec, TensorValues } from '../../formats/safetensors.js';
import { isLxmertError } from '../../errors.js';
import type { WordPiece } from '../../text/wordPiece.js';
import { Growable } from '../growable.js';
import { sharedArrays } from '../sharedArrays.js';
import type { AnswerTable } from './answers.js';
import { SampleBuilder } from './sampleStore.js';
import type { SampleCounts, Samples } from './sampleStore.js';
import { readSentences } from './sentences.js';

/** The version of the cache. Increase it after a change with which the same text gives other arrays. */
const version = 1;

export interface SentenceCacheOptions {
  /** Folder of the cache files; it is made if it does not exist. */
  readonly folder: string;
  readonly wordPiece: WordPiece;
  readonly maxTokens: number;
  readonly answers: AnswerTable | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
}

/** The sentences of one text file as WordPieces, in a file of arrays. Only the arrays about images are in memory. */
export interface CachedSentences {
  readonly path: string;
  readonly imageIds: readonly string[];
  /** First sample of each image, and the number of samples: [images + 1]. */
  readonly firstSamples: Uint32Array;
  readonly setNames: readonly string[];
}

/**
 * Opens the cache of a text file. If there is no cache for this file, vocabulary, length and answers, makes it first. A text
 * file is considered unchanged if its size and time are the same. Two processes may make the cache at the same time: each
 * writes a separate file, and both files have the same bytes.
 * @throws the errors of reading sentences, FILE_ACCESS
 */
export async function cachedSentences(text: string, options: SentenceCacheOptions): Promise<CachedSentences> {
  const path = join(options.folder, `sentences-${await keyOf(text, options)}.safetensors`);
  if (await isThere(path)) {
    try {
      return await openCache(path);
    } catch (error) {
      if (!isLxmertError(error) || error.code !== 'BAD_DATA') throw error;
      options.onNote?.(`${path}: is damaged; making it again`);
    }
  }
  await makeCache(text, path, options);
  return openCache(path);
}

/** A short name that depends on everything that determines the arrays. */
async function keyOf(text: string, { wordPiece, maxTokens, answers }: SentenceCacheOptions): Promise<string> {
  const { size, mtimeMs } = await stat(text).catch((error: unknown) => {
    throw readFailure(text, 'sentences of images', error);
  });
  const hash = createHash('sha256');
  hash.update(JSON.stringify([version, resolve(text), size, mtimeMs, maxTokens, answers?.answers ?? null]));
  hash.update(JSON.stringify(wordPiece.pieces));
  return hash.digest('hex').slice(0, 32);
}

async function openCache(path: string): Promise<CachedSentences> {
  const file = await SafetensorsFile.open(path);
  try {
    const ids = Buffer.from((await file.read('image_ids')) as Uint8Array);
    const offsets = (await file.read('image_id_offsets')) as Uint32Array;
    const firstSamples = (await file.read('first_samples')) as Uint32Array;
    const imageIds = Array.from({ length: offsets.length - 1 }, (_, i) =>
      ids.toString('utf8', offsets[i], offsets[i + 1]),
    );
    return { path, imageIds, firstSamples, setNames: JSON.parse(file.metadata.sets ?? '[]') as string[] };
  } finally {
    await file.close();
  }
}

async function makeCache(text: string, path: string, options: SentenceCacheOptions): Promise<void> {
  const { wordPiece, maxTokens, answers, signal, onNote } = options;
  onNote?.(`${text}: is tokenized now; the result is stored in ${path} for later runs`);
  const started = performance.now();
  const builder = new SampleBuilder({ wordPiece, maxTokens, answers });
  const ids = new Growable((n) => new Uint8Array(n));
  const idOffsets = new Growable((n) => new Uint32Array(n));
  const firstSamples = new Growable((n) => new Uint32Array(n));
  idOffsets.push(0);
  let images = 0;
  let told = started;
  await readSentences(
    text,
    (image) => {
      firstSamples.push(builder.size);
      builder.add(images++, image);
      ids.append(Buffer.from(image.imageId, 'utf8'));
      idOffsets.push(ids.length);
      const now = performance.now();
      if (now - told < 5000) return;
      told = now;
      onNote?.(`${text}: ${builder.size} sentences, ${Math.round((1000 * builder.size) / (now - started))} a second`);
    },
    signal,
  );
  firstSamples.push(builder.size);
  const { tokens, tokenOffsets, answerIds, answerScores, answerOffsets, details } = builder.finish();
  const arrays: Readonly<Record<string, TensorValues>> = {
    ...{ image_ids: ids.finish(), image_id_offsets: idOffsets.finish(), first_samples: firstSamples.finish() },
    ...{ tokens, token_offsets: tokenOffsets, answer_ids: answerIds, answer_scores: answerScores },
    ...{ answer_offsets: answerOffsets, sets: details.sets, numbers: details.numbers, labelled: details.labelled },
    ...{ truncated: details.truncated, unknown_answers: details.unknownAnswers },
  };
  const specs = Object.entries(arrays).map(([name, values]): TensorSpec => ({
    name,
    dtype: dtypeOf(values),
    shape: [values.length],
  }));
  const temporary = temporaryBeside(path);
  try {
    await makeFolder(dirname(path));
    const metadata = { sets: JSON.stringify(details.setNames) };
    await writeSafetensors(temporary, specs, (name) => arrays[name], { metadata });
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, 'write', path);
  }
}

function dtypeOf(values: TensorValues): TensorSpec['dtype'] {
  if (values instanceof Uint16Array) return 'U16';
  if (values instanceof Int32Array) return 'I32';
  if (values instanceof Float32Array) return 'F32';
  return values instanceof Uint8Array ? 'U8' : 'U32';
}

/** The chosen images of a cache: for each image its position in the features, or -1 if it is left out: [images]. */
export interface ChosenSentences {
  readonly cache: CachedSentences;
  readonly positions: Int32Array;
}

/** A range of adjacent chosen samples of a cache. */
interface Run {
  readonly from: number;
  readonly to: number;
}

/**
 * Joins the samples of chosen images of some caches, in the order of the files. It needs memory for the result and for the
 * largest array of one file.
 * @throws FILE_ACCESS, BAD_DATA
 */
export async function collectSamples(
  chosen: readonly ChosenSentences[],
  { unkId }: Pick<WordPiece, 'unkId'>,
): Promise<Samples & SampleCounts> {
  const files: { readonly file: SafetensorsFile; readonly runs: readonly Run[]; readonly chosen: ChosenSentences }[] =
    [];
  try {
    for (const one of chosen)
      files.push({ file: await SafetensorsFile.open(one.cache.path), runs: runsOf(one), chosen: one });
    const size = files.reduce((sum, { runs }) => sum + lengthOf(runs), 0);
    const setNames = [...new Set(chosen.flatMap(({ cache }) => cache.setNames))];

    const images = sharedArrays.int32(size);
    const sets = sharedArrays.uint8(size);
    let at = 0;
    for (const { chosen: one, file } of files) {
      const numbers = one.cache.setNames.map((name) => setNames.indexOf(name));
      const ofFile = (await file.read('sets')) as Uint8Array;
      for (const [image, position] of one.positions.entries()) {
        if (position < 0) continue;
        const [from, to] = [one.cache.firstSamples[image], one.cache.firstSamples[image + 1]];
        images.fill(position, at, at + to - from);
        for (let sample = from; sample < to; sample++) sets[at++] = numbers[ofFile[sample]];
      }
    }
    const perSample = async <T extends Uint8Array | Uint32Array>(name: string, allocate: (length: number) => T) => {
      const result = allocate(size);
      let end = 0;
      for (const { file, runs } of files) {
        const ranges = runs.map(({ from, to }) => {
          const at = end;
          end += to - from;
          return { from, to, at };
        });
        await copyRanges(file, name, ranges, result);
      }
      return result;
    };
    const tokens = await ragged(files, size, 'token_offsets', ['tokens'] as const);
    const answers = await ragged(files, size, 'answer_offsets', ['answer_ids', 'answer_scores'] as const);
    const numbers = await perSample('numbers', sharedArrays.uint32);
    const labelled = await perSample('labelled', sharedArrays.uint8);
    const truncated = await perSample('truncated', (n) => new Uint8Array(n));
    const unknown = await perSample('unknown_answers', (n) => new Uint32Array(n));
    const [ids] = tokens.values as readonly [Uint16Array | Int32Array];
    const [answerIds, answerScores] = answers.values as unknown as readonly [Int32Array, Float32Array];
    return {
      ...{ size, images, tokens: ids, tokenOffsets: tokens.offsets },
      ...{ answerIds, answerScores, answerOffsets: answers.offsets },
      setOf: (sample) => setNames[sets[sample]],
      numberOf: (sample) => numbers[sample],
      questionSetOf: (sample) => (labelled[sample] === 1 ? setNames[sets[sample]] : undefined),
      questions: countRows(answers.offsets, 0),
      withWords: countRows(tokens.offsets, 2),
      words: ids.length - 2 * size,
      unknownWords: countOf(ids, unkId),
      truncatedSentences: sumOf(truncated),
      unknownAnswers: sumOf(unknown),
    };
  } finally {
    for (const { file } of files) await file.close();
  }
}

/** Joins adjacent chosen images to ranges. */
function runsOf({ cache: { firstSamples }, positions }: ChosenSentences): readonly Run[] {
  const runs: { from: number; to: number }[] = [];
  for (const [image, position] of positions.entries()) {
    const [from, to] = [firstSamples[image], firstSamples[image + 1]];
    if (position < 0 || from === to) continue;
    const last = runs.at(-1);
    if (last?.to === from) last.to = to;
    else runs.push({ from, to });
  }
  return runs;
}

const lengthOf = (runs: readonly Run[]): number => runs.reduce((sum, { from, to }) => sum + to - from, 0);

/** Collects arrays in which each sample has a variable number of values, and the start of each sample: [samples + 1]. */
async function ragged(
  files: readonly { readonly file: SafetensorsFile; readonly runs: readonly Run[] }[],
  size: number,
  offsetName: string,
  names: readonly string[],
): Promise<{ readonly offsets: Uint32Array; readonly values: readonly TensorValues[] }> {
  const offsets = sharedArrays.uint32(size + 1);
  const parts: Range[][] = [];
  let [sample, end] = [0, 0];
  for (const { file, runs } of files) {
    const ofFile = (await file.read(offsetName)) as Uint32Array;
    parts.push(
      runs.map(({ from, to }) => {
        const part = { from: ofFile[from], to: ofFile[to], at: end };
        const shift = end - ofFile[from];
        if (shift === 0) offsets.set(ofFile.subarray(from, to), sample);
        else for (let i = from; i < to; i++) offsets[sample + i - from] = ofFile[i] + shift;
        sample += to - from;
        end += ofFile[to] - ofFile[from];
        return part;
      }),
    );
  }
  offsets[size] = end;
  const values: TensorValues[] = [];
  for (const name of names) {
    const dtype = files[0]?.file.entry(name).dtype;
    const make = dtype === 'U16' ? sharedArrays.uint16 : dtype === 'F32' ? sharedArrays.float32 : sharedArrays.int32;
    const result = make(end);
    for (const [i, { file }] of files.entries()) {
      await copyRanges(file, name, parts[i], result);
    }
    values.push(result);
  }
  return { offsets, values };
}

/** Values [from, to) of a tensor, and where they go. */
interface Range extends Run {
  readonly at: number;
}

/** Copies ranges of a tensor, which are in ascending order. Reads the file in pieces, so it needs little memory. */
async function copyRanges(
  file: SafetensorsFile,
  name: string,
  ranges: readonly Range[],
  target: Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array,
): Promise<void> {
  let [start, next] = [0, 0];
  for await (const piece of file.pieces(name)) {
    const end = start + piece.length;
    for (; next < ranges.length && ranges[next].from < end; next++) {
      const { from, to, at } = ranges[next];
      const first = Math.max(from, start);
      target.set((piece as typeof target).subarray(first - start, Math.min(to, end) - start), at + first - from);
      if (to > end) break;
    }
    start = end;
  }
}

function countRows(offsets: Uint32Array, above: number): number {
  let count = 0;
  for (let i = 1; i < offsets.length; i++) if (offsets[i] - offsets[i - 1] > above) count++;
  return count;
}

function countOf(values: Uint16Array | Int32Array, wanted: number): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] === wanted) count++;
  return count;
}

function sumOf(values: Uint8Array | Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}
