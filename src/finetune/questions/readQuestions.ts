import { LxmertError } from '../../errors.js';
import { readHead } from '../../formats/chunks.js';
import { readOriginalGqa, readPublishedGqa } from './gqa.js';
import { readOriginalNlvr2, readPublishedNlvr2 } from './nlvr2.js';
import { readOwnLines, readOwnList } from './own.js';
import type { OnQuestion, Question, QuestionTask } from './question.js';
import { officialVqaPart, readOfficialVqa, readOriginalVqa } from './vqa.js';

export interface ReadQuestionsOptions {
  readonly task: QuestionTask;
  /**
   * The file; two files for official VQA: the questions and their annotations, in any order. A string may name several
   * with commas between.
   */
  readonly files: string | readonly string[];
  /** Take an official annotation file without its questions; their sentences are then empty. Default: false. */
  readonly labelsOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What was read. */
export interface QuestionCount {
  readonly questions: number;
  /** Questions that have labels, also empty ones. */
  readonly labelled: number;
}

type Reader = (file: string, onQuestion: OnQuestion, signal?: AbortSignal) => Promise<void>;

/** By the first character of a file: a JSON list, or a JSON object (or one a line). */
const readers: Readonly<Record<QuestionTask, { readonly list: Reader; readonly object: Reader | undefined }>> = {
  vqa: { list: readOriginalVqa, object: undefined },
  gqa: { list: readOriginalGqa, object: readPublishedGqa },
  nlvr2: { list: readOriginalNlvr2, object: readPublishedNlvr2 },
  qa: { list: readOwnList, object: readOwnLines },
};

const names: Readonly<Record<QuestionTask, string>> = {
  vqa: 'VQA questions',
  gqa: 'GQA questions',
  nlvr2: 'NLVR2 statements',
  qa: 'questions',
};

/** Names of files, with commas between when given as one string. */
export function fileNames(files: string | readonly string[]): readonly string[] {
  return typeof files === 'string' ? files.split(',').map((name) => name.trim()) : files;
}

/**
 * Reads the questions of one file, in the order of the file and one at a time, in any of the forms in which the data sets
 * are published: VQA, GQA and NLVR2 as the original LXMERT re-distributes them, official VQA, GQA's question files, lil-lab's JSON
 * lines of NLVR2, and data of one's own (`qa`) as docs/finetuning.md describes them.
 * @throws BAD_DATA naming file, line or element, and field, also for an id that occurs twice and for a file without
 * questions; BAD_ARGUMENT, FILE_MISSING, FILE_ACCESS, or the signal's reason; what `onQuestion` throws goes through
 */
export async function readQuestions(
  options: ReadQuestionsOptions,
  onQuestion: (question: Question) => void,
): Promise<QuestionCount> {
  const { task, signal } = options;
  const files = fileNames(options.files);
  const [file] = files;
  if (file === undefined || files.includes('')) {
    throw new LxmertError('BAD_ARGUMENT', `the name of a file with ${names[task]} is missing`);
  }
  const counts = { questions: 0, labelled: 0 };
  /** Number of the question in the file, by id. */
  const numbers = new Map<string, number>();
  let pictures = 0;
  const take: OnQuestion = (question, idPlace) => {
    counts.questions += 1;
    const earlier = numbers.get(question.id);
    if (earlier !== undefined) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: ${idPlace} is ${question.id}, which question ${earlier} of the file (counted from 1) has already; ids must be unique`,
      );
    }
    numbers.set(question.id, counts.questions);
    pictures ||= question.imageIds.length;
    if (question.imageIds.length !== pictures) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: ${idPlace}: the question ${question.id} has ${question.imageIds.length} images, those before it have ${pictures}`,
      );
    }
    if (question.labels !== undefined) counts.labelled += 1;
    onQuestion(question);
  };

  const isList = (await firstCharacter(file, names[task])) === '[';
  const { list, object } = readers[task];
  if (task === 'vqa' && !isList) await readPublishedVqa(files, options.labelsOnly ?? false, take, signal);
  else if (files.length > 1) {
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${files.join(', ')}: one file was expected; only official VQA has two, of questions and of annotations`,
    );
  } else await (isList ? list : object!)(file, take, signal);
  if (counts.questions === 0) throw new LxmertError('BAD_DATA', `${file}: no ${names[task]} in it`);
  return counts;
}

/** The first character that is no space, or an error when there is none or no JSON begins with it. */
async function firstCharacter(file: string, what: string): Promise<string> {
  const head = (await readHead(file, what))
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  const first = head.slice(0, 1);
  if (first === '[' || first === '{') return first;
  const problem = first === '' ? 'is empty' : `begins with ${JSON.stringify(head.slice(0, 20))}`;
  throw new LxmertError('BAD_DATA', `${file}: ${problem}, JSON with ${what} was expected`);
}

async function readPublishedVqa(
  files: readonly string[],
  labelsOnly: boolean,
  onQuestion: OnQuestion,
  signal?: AbortSignal,
): Promise<void> {
  const parts: { questions: string | undefined; annotations: string | undefined } = {
    questions: undefined,
    annotations: undefined,
  };
  for (const file of files) {
    const part = await officialVqaPart(file, signal);
    if (part === undefined) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: has neither a list "questions" nor a list "annotations"; VQA's files are a list of ` +
          '{question_id, img_id, sent, label} or the official questions and annotations',
      );
    }
    if (parts[part] !== undefined) {
      throw new LxmertError('BAD_ARGUMENT', `${parts[part]} and ${file} both hold ${part}; one of each was expected`);
    }
    parts[part] = file;
  }
  if (parts.questions === undefined && !labelsOnly) {
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${parts.annotations} holds annotations without their questions; name the question file, too: QUESTIONS,ANNOTATIONS`,
    );
  }
  await readOfficialVqa(parts, onQuestion, signal);
}
