/** Whose form a file of questions has; the heads and scores of fine-tuning are named alike. */
export const questionTasks = ['vqa', 'gqa', 'nlvr2', 'qa'] as const;
export type QuestionTask = (typeof questionTasks)[number];

/** An answer and how right it is, from 0 to 1. */
export interface AnswerScore {
  readonly answer: string;
  readonly score: number;
}

/** The answers of NLVR2, by label: 0 and 1. */
export const nlvr2Answers = ['False', 'True'] as const;

/** A question, or a statement of NLVR2, about one or two pictures. */
export interface Question {
  /** Unique in its file. VQA's whole numbers in decimal; NLVR2's identifier. */
  readonly id: string;
  /** One, or two of NLVR2 and of data of one's own. */
  readonly imageIds: readonly string[];
  readonly sentence: string;
  /**
   * The answers that count as right, in the order of the file; absent where the file has no labels. An empty list is a
   * question without any answer of the vocabulary, which nobody can answer.
   */
  readonly labels: readonly AnswerScore[] | undefined;
  /** The annotators' answers as they were given, where the file has them: the score is then computed from these. */
  readonly annotators: readonly string[] | undefined;
  /** The answer that an answer list counts, where the file names one (`multiple_choice_answer` of VQA), normalised. */
  readonly mainAnswer: string | undefined;
  /** What the data say of its kind, by the name of the field, such as `answer_type` and `question_type` of VQA. */
  readonly types: Readonly<Record<string, string>>;
}

/** Receives a question and the place of its id in the file, such as `[12].question_id`. */
export type OnQuestion = (question: Question, idPlace: string) => void;
