import { LxmertError } from '../../errors.js';
import { detectTask, fileNames, readQuestions } from '../questions/index.js';
import type { Question, QuestionTask } from '../questions/index.js';

export interface BuildAnswersOptions {
  /** Files of questions or of official VQA annotations; an entry may be `QUESTIONS,ANNOTATIONS`. */
  readonly files: readonly string[];
  /** The form of the files; by default it is recognised by the first question of each file. */
  readonly task?: QuestionTask | undefined;
  /** An answer must be the main answer of this many questions; default 1. */
  readonly minCount?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BuiltAnswers {
  /** The most frequent answer is first; equally frequent answers are in the order of their characters. */
  readonly answers: readonly string[];
  /** Questions with labels. Questions without labels are in none of these counts. */
  readonly questions: number;
  /** Questions of which at least one right answer is in the vocabulary. */
  readonly covered: number;
  /** `covered` / `questions` */
  readonly share: number;
  /** Mean score of a model that always gives the best answer of the vocabulary. No model can have a higher score. */
  readonly bestScore: number;
  /** Number of different main answers, including those that are too rare for the vocabulary. */
  readonly differentAnswers: number;
}

/**
 * The main answer of a question: the one that the file names (`multiple_choice_answer`), otherwise the answer with the
 * highest score (the first one, if several have the highest score). Undefined if the question has no answer.
 */
export function mainAnswerOf({ mainAnswer, labels }: Question): string | undefined {
  if (mainAnswer !== undefined) return mainAnswer;
  return labels?.reduce<(typeof labels)[number] | undefined>(
    (best, label) => (best === undefined || label.score > best.score ? label : best),
    undefined,
  )?.answer;
}

/**
 * Makes an answer vocabulary from the main answers of questions. VQA's 3,129 answers, for example, are the main answers of
 * at least nine questions each. Reads the files twice, so that memory does not grow with the number of questions.
 * @throws BAD_ARGUMENT, BAD_DATA if no question has labels or no answer is frequent enough; the errors of reading
 */
export async function buildAnswers(options: BuildAnswersOptions): Promise<BuiltAnswers> {
  const { files, minCount = 1, signal } = options;
  if (files.length === 0) throw new LxmertError('BAD_ARGUMENT', 'the name of a file with questions is missing');
  if (!Number.isSafeInteger(minCount) || minCount < 1) {
    throw new LxmertError('BAD_ARGUMENT', `the minimum count must be a whole number from 1, not ${minCount}`);
  }
  const sources: { task: QuestionTask; files: string }[] = [];
  for (const file of files) {
    sources.push({ task: options.task ?? (await detectTask(fileNames(file)[0] ?? file, signal)), files: file });
  }
  const readAll = async (onQuestion: (question: Question) => void): Promise<void> => {
    for (const source of sources) await readQuestions({ ...source, labelsOnly: true, signal }, onQuestion);
  };

  const counts = new Map<string, number>();
  let questions = 0;
  await readAll((question) => {
    if (question.labels === undefined) return;
    questions += 1;
    const answer = mainAnswerOf(question);
    if (answer !== undefined) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  });
  if (questions === 0) throw new LxmertError('BAD_DATA', `${files.join(', ')}: no question has labels`);
  const answers = [...counts]
    .filter(([, count]) => count >= minCount)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([answer]) => answer);
  if (answers.length === 0) {
    const most = Math.max(0, ...counts.values());
    throw new LxmertError(
      'BAD_DATA',
      `${files.join(', ')}: no answer is that of ${minCount} questions; the most frequent is that of ${most}`,
    );
  }

  const known = new Set(answers);
  let covered = 0;
  let bestScore = 0;
  await readAll(({ labels }) => {
    if (labels === undefined) return;
    const best = labels.reduce((score, label) => (known.has(label.answer) ? Math.max(score, label.score) : score), 0);
    if (best > 0) covered += 1;
    bestScore += best;
  });
  return {
    answers,
    questions,
    covered,
    share: covered / questions,
    bestScore: bestScore / questions,
    differentAnswers: counts.size,
  };
}
