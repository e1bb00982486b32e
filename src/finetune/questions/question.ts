/** The forms of question files. The tasks of fine-tuning have the same names. */
export const questionTasks = ['vqa', 'gqa', 'nlvr2', 'qa'] as const;
export type QuestionTask = (typeof questionTasks)[number];

/** An answer and its score, from 0 to 1. */
export interface AnswerScore {
  readonly answer: string;
  readonly score: number;
}

/** The answers of NLVR2, by label: 0 and 1. */
export const nlvr2Answers = ['False', 'True'] as const;

/** A question, or a statement of NLVR2, about one or two pictures. */
export interface Question {
  /** Unique in its file. For VQA it is a whole number in decimal, for NLVR2 the identifier. */
  readonly id: string;
  /** One picture, or two for NLVR2. The user's own data have one or two. */
  readonly imageIds: readonly string[];
  readonly sentence: string;
  /**
   * The right answers with their scores, in the order of the file; absent if the file has no labels. An empty list means
   * that no right answer is in the vocabulary, so every prediction is wrong.
   */
  readonly labels: readonly AnswerScore[] | undefined;
  /** The unchanged answers of the annotators, if the file has them. The score is then computed from these. */
  readonly annotators: readonly string[] | undefined;
  /** The main answer, normalised, if the file names one (`multiple_choice_answer` of VQA). Answer lists count it. */
  readonly mainAnswer: string | undefined;
  /** The types of the question by the name of their field, such as `answer_type` and `question_type` of VQA. */
  readonly types: Readonly<Record<string, string>>;
}

/** Receives a question and the place of its id in the file, such as `[12].question_id`. */
export type OnQuestion = (question: Question, idPlace: string) => void;
