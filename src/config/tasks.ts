import { keysOf } from '../records.js';

/** The names of one loss of a task. */
interface LossDescription {
  /** For help: `weight of the <title>`. */
  readonly title: string;
  /** The things that the accuracy counts, as text for tables; absent for a regression, which has no accuracy. */
  readonly accuracy?: string;
}

/** The names of one pre-training task in settings, help and metrics. */
interface TaskDescription {
  /** For help: `first epoch, from 0, in which <title> is on`. */
  readonly title: string;
  readonly losses: Readonly<Record<string, LossDescription>>;
  /** If true, the task is off for data without an answer table. */
  readonly needsAnswers?: true;
}

/**
 * The pre-training tasks (LXMERT, section 3.1), one entry a task. Flags, settings, help, schedule keys, loss weights and
 * names of metrics are derived from this table. `src/pretrain/<task>.ts` has the computation of a task: its head, its
 * losses, its label counts and its parameters. The order of the losses is the same in metrics and on the device.
 */
export const pretrainTasks = {
  maskedLm: {
    title: 'masked LM',
    losses: { maskedLm: { title: 'masked-LM loss', accuracy: 'hidden words' } },
  },
  matched: {
    title: 'matching',
    losses: { matched: { title: 'matching loss', accuracy: 'sentence and picture belong together' } },
  },
  objects: {
    title: 'object prediction',
    losses: {
      obj: { title: 'object-class loss', accuracy: "objects' classes" },
      attr: { title: 'attribute loss', accuracy: "objects' attributes" },
      feat: { title: 'feature regression' },
    },
  },
  qa: {
    title: 'question answering',
    losses: { qa: { title: 'question-answering loss', accuracy: 'answers to questions' } },
    needsAnswers: true,
  },
} as const satisfies Record<string, TaskDescription>;

type Tasks = typeof pretrainTasks;

/** The names of the tasks, which can be switched on and off. */
export type TaskName = keyof Tasks;

/** The six losses of the tasks. */
export type LossName = { [T in TaskName]: keyof Tasks[T]['losses'] }[TaskName];

/** Losses of the task `objects`, which can be chosen one by one. */
export type VisualLossName = keyof Tasks['objects']['losses'];

export const taskNames = keysOf(pretrainTasks);

/** The losses of a task, in their order. */
export const lossesOf = (task: TaskName): readonly LossName[] => keysOf(describe(task).losses) as readonly LossName[];

/** All losses, in the order of the device's loss record. */
export const lossNames: readonly LossName[] = taskNames.flatMap(lossesOf);

export const visualLossNames = keysOf(pretrainTasks.objects.losses);

/** The description of a loss. */
export const lossDescriptions: ReadonlyMap<string, LossDescription> = new Map(
  taskNames.flatMap((task) => Object.entries(describe(task).losses)),
);

/** A task as a `TaskDescription`. (In the type of the table, an entry has no optional fields.) */
export function describe(task: TaskName): TaskDescription {
  return pretrainTasks[task];
}
