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
   * The file. Official VQA needs two files, the questions and their annotations, in any order. A string may name
   * several files with commas between them.
   */
  readonly files: string | readonly string[];
  /** Accept an official annotation file without its question file; sentences are then empty. Default: false. */
  readonly labelsOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Numbers of the questions that were read. */
export interface QuestionCount {
  readonly questions: number;
  /** Number of questions that have labels, including empty labels. */
  readonly labelled: number;
}

type Reader = (file: string, onQuestion: OnQuestion, signal?: AbortSignal) => Promise<void>;

/**
 * The readers of each task. `list` reads a JSON list. `object` reads one JSON object, or one JSON object for each line.
 */
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

/** Returns the names of files; one string may have several names with commas between them. */
export function fileNames(files: string | readonly string[]): readonly string[] {
  return typeof files === 'string' ? files.split(',').map((name) => name.trim()) : files;
}

/**
 * Reads the questions of one file, one at a time, in the order of the file. The file may have any of these forms: VQA,
 * GQA and NLVR2 of the original's repository, official VQA, GQA's question files, lil-lab's JSON lines of NLVR2, and
 * the user's own data (`qa`). docs/finetuning.md describes the forms.
 * @throws BAD_DATA naming file, line or element, and field, also for an id that occurs twice and for a file without
 * questions; BAD_ARGUMENT, FILE_MISSING, FILE_ACCESS, the signal's reason, or the errors of `onQuestion`
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
  /** The number of each question in the file, by id. */
  const numbers = new Map<string, number>();
  let pictures = 0;
  const take: OnQuestion = (question, idPlace) => {
    counts.questions += 1;
    const earlier = numbers.get(question.id);
    if (earlier !== undefined) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: ${idPlace} is ${question.id}, but question ${earlier} of the file (counted from 1) has the same id; ids must be unique`,
      );
    }
    numbers.set(question.id, counts.questions);
    pictures ||= question.imageIds.length;
    if (question.imageIds.length !== pictures) {
      throw new LxmertError(
        'BAD_DATA',
        `${file}: ${idPlace}: the question ${question.id} has ${question.imageIds.length} images, and the questions before it have ${pictures}`,
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

/** Returns the first character that is not a space. @throws BAD_DATA if JSON cannot begin with it */
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
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${parts[part]} and ${file} both contain ${part}; one of each was expected`,
      );
    }
    parts[part] = file;
  }
  if (parts.questions === undefined && !labelsOnly) {
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${parts.annotations} contains annotations without their questions; give the question file, too: QUESTIONS,ANNOTATIONS`,
    );
  }
  await readOfficialVqa(parts, onQuestion, signal);
}
