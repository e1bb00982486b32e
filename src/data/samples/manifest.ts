import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { suggestion } from '../../config/nearest.js';
import { pathProblem } from '../../config/paths.js';
import { LxmertError, isLxmertError } from '../../errors.js';
import { readFailure } from '../../formats/fileErrors.js';
import { describeValue } from '../../formats/describe.js';
import { readText } from '../../formats/text.js';
import { parseYaml } from '../../formats/yaml.js';
import { isRecord } from '../../records.js';
import { originalSplits } from './originalLayout.js';
import type { DataTask } from './originalLayout.js';

/** The files of one split for one task. */
export interface SplitFiles {
  readonly split: string;
  /** A feature TSV. */
  readonly features: string;
  /** The file of sentences, questions or statements for the task. Official VQA has two files, with a comma between them. */
  readonly text: string;
}

/** The description of a data folder. */
export interface Manifest {
  readonly dir: string;
  /** The path of `data.yaml`; undefined if the folder has the original's layout. */
  readonly file: string | undefined;
  /** Splits of `data.yaml`, by name. */
  readonly splits: ReadonlyMap<string, SplitEntry>;
  /** The file with the answer table of pre-training, if there is one. */
  readonly answers: string | undefined;
  /** Number of classes of the detector. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
}

const splitKeys = ['features', 'sentences', 'vqa', 'gqa', 'nlvr2', 'qa'] as const;
const topKeys = ['splits', 'answers', 'objectLabels', 'attributeLabels'] as const;

/** One entry of `splits` in `data.yaml`, with the unchanged paths. */
export type SplitEntry = Readonly<Partial<Record<(typeof splitKeys)[number], string>>> & { readonly features: string };

/** Number of object classes of the paper's detector, which was trained on Visual Genome. */
const OBJECT_LABELS = 1600;
const ATTRIBUTE_LABELS = 400;
const answerFiles = ['all_ans.json', join('lxmert', 'all_ans.json')];

/**
 * Reads the description of a data folder: its `data.yaml`, or the original's layout if there is none. Rejects with
 * FILE_MISSING (no such folder), FILE_ACCESS, or BAD_DATA naming the line and key of `data.yaml`.
 */
export async function readManifest(dir: string): Promise<Manifest> {
  const found = await stat(dir).catch((error: unknown) => {
    throw readFailure(dir, 'a folder with data', error);
  });
  if (!found.isDirectory()) {
    throw new LxmertError('BAD_ARGUMENT', `${dir}: is a file, a folder with data was expected`);
  }
  const file = join(dir, 'data.yaml');
  const text = await readText(file, 'a description of the data folder').catch((error: unknown) => {
    if (isLxmertError(error) && error.code === 'FILE_MISSING') return undefined;
    throw error;
  });
  if (text === undefined) await refuseOtherName(dir);
  const described: Described = text === undefined ? { splits: new Map() } : parseManifest(text, file);
  const answers = described.answers ?? (await firstFile(dir, answerFiles));
  return {
    dir,
    file: text === undefined ? undefined : file,
    splits: described.splits,
    answers: answers === undefined ? undefined : resolve(dir, answers),
    objectLabels: described.objectLabels ?? OBJECT_LABELS,
    attributeLabels: described.attributeLabels ?? ATTRIBUTE_LABELS,
  };
}

/** Wrong names that users give to a `data.yaml`. */
const otherNames = ['data.yml', 'data.YAML', 'Data.yaml', 'data.yaml.txt', 'dataset.yaml', 'data.json'];

/** Throws BAD_DATA if the folder has a description under a wrong name. */
async function refuseOtherName(dir: string): Promise<void> {
  const found = await firstFile(dir, otherNames);
  if (found === undefined) return;
  throw new LxmertError('BAD_DATA', `${join(dir, found)}: the description of a data folder is data.yaml; rename it`);
}

interface Described {
  readonly splits: ReadonlyMap<string, SplitEntry>;
  readonly answers?: string | undefined;
  readonly objectLabels?: number | undefined;
  readonly attributeLabels?: number | undefined;
}

/** Checks the text of a `data.yaml`. Throws BAD_DATA naming line and key. */
export function parseManifest(text: string, file: string): Described {
  const { root, lineOf } = parseYaml(
    text,
    (line, problem, cause) =>
      new LxmertError('BAD_DATA', `${file}:${line === undefined ? '' : ` line ${line}:`} ${problem}`, { cause }),
  );
  const bad = (path: readonly string[], problem: string) =>
    new LxmertError(
      'BAD_DATA',
      `${file}: line ${lineOf(path)}: ${path.join('.')}${path.length > 0 ? ' ' : ''}${problem}`,
    );

  const checkKeys = (tree: Record<string, unknown>, path: readonly string[], known: readonly string[]) => {
    for (const key of Object.keys(tree)) {
      if (!known.includes(key)) throw bad([...path, key], `is not known here.${suggestion(key, known)}`);
    }
  };
  const string = (value: unknown, path: readonly string[]) => {
    if (typeof value !== 'string' || value === '') throw bad(path, `must be a path, found ${describeValue(value)}`);
    const problem = pathProblem(value);
    if (problem !== undefined) throw bad(path, `must be a path, found ${describeValue(value)}: ${problem}`);
    return value;
  };
  const count = (value: unknown, path: readonly string[]) => {
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 2 ** 31 - 1) {
      throw bad(path, `must be a count from 1, found ${describeValue(value)}`);
    }
    return value as number;
  };

  if (!isRecord(root)) throw bad([], `must have 'splits:', found ${describeValue(root)}`);
  checkKeys(root, [], topKeys);
  if (!isRecord(root.splits) || Object.keys(root.splits).length === 0) {
    throw bad(['splits'], `must name splits, found ${describeValue(root.splits)}`);
  }
  const splits = new Map<string, SplitEntry>();
  for (const [name, entry] of Object.entries(root.splits)) {
    const path = ['splits', name];
    if (name === '' || /[,\s]/.test(name)) throw bad(path, 'is no name of a split: commas and blanks are not allowed');
    if (!isRecord(entry)) throw bad(path, `must have 'features:' and 'sentences:', found ${describeValue(entry)}`);
    checkKeys(entry, path, splitKeys);
    for (const [key, value] of Object.entries(entry)) string(value, [...path, key]);
    if (entry.features === undefined) throw bad(path, "has no 'features:' (a feature TSV)");
    splits.set(name, entry as SplitEntry);
  }
  const optional = <T>(read: (value: unknown, path: readonly string[]) => T, key: string): T | undefined =>
    root[key] === undefined ? undefined : read(root[key], [key]);
  return {
    splits,
    answers: optional(string, 'answers'),
    objectLabels: optional(count, 'objectLabels'),
    attributeLabels: optional(count, 'attributeLabels'),
  };
}

/**
 * Finds the files of a split. With a `data.yaml`, they are those of the key with the task's name, otherwise
 * `<task>/<split>.json` if it exists, otherwise those of `sentences`. Without a `data.yaml`, the original's layout gives
 * them. Rejects with BAD_ARGUMENT naming the known splits.
 */
export async function findSplit(manifest: Manifest, split: string, task: DataTask): Promise<SplitFiles> {
  const { dir } = manifest;
  if (manifest.file === undefined) {
    const original = originalSplits(task).get(split);
    if (original === undefined) throw unknownSplit(split, [...originalSplits(task).keys()], `${dir} (no data.yaml)`);
    return { split, features: join(dir, original.features), text: join(dir, original.text) };
  }
  const entry = manifest.splits.get(split);
  if (entry === undefined) throw unknownSplit(split, [...manifest.splits.keys()], manifest.file);
  const own =
    task === 'pretrain'
      ? undefined
      : (entry[task] ??
        (await firstFile(
          dir,
          [`${split}.json`, `${split}.jsonl`].map((name) => join(task, name)),
        )));
  const text = own ?? entry.sentences;
  if (text === undefined) {
    const wanted = task === 'pretrain' ? `'sentences:'` : `'${task}:' or 'sentences:'`;
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${manifest.file}: the split '${split}' has no ${wanted}, so it cannot serve ${task}`,
    );
  }
  const texts = task === 'pretrain' ? [resolve(dir, text)] : text.split(',').map((name) => resolve(dir, name.trim()));
  return { split, features: resolve(dir, entry.features), text: texts.join(',') };
}

function unknownSplit(split: string, known: readonly string[], where: string): LxmertError {
  return new LxmertError('BAD_ARGUMENT', `there is no split '${split}' in ${where}; known: ${known.join(', ')}`);
}

const resolve = (dir: string, path: string) => (isAbsolute(path) ? path : join(dir, path));

/** The first of `names`, relative to `dir`, that is a file. */
async function firstFile(dir: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found?.isFile() === true) return name;
  }
  return undefined;
}
