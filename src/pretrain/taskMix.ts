import type { RunConfig } from '../config/runConfig.js';
import { lossesOf } from '../config/tasks.js';
import type { TaskName } from '../config/tasks.js';
import { LxmertError } from '../errors.js';
import { recordOf } from '../records.js';
import { lossesOn } from '../step/losses.js';
import { lossNames } from './losses.js';
import type { LossName, LossWeights } from './losses.js';

type Tasks = RunConfig['tasks'];

/** The tasks that are on in an epoch (from 0). Question answering is off in all epochs if there is no answer table. */
export function tasksOn({ on, schedule }: Tasks, epoch: number, hasAnswers: boolean): readonly TaskName[] {
  return on.filter((task) => {
    const { from, to = Infinity } = schedule[task];
    return epoch >= from && epoch < to && (task !== 'qa' || hasAnswers);
  });
}

/**
 * Epoch 0 and the epochs in which a task begins or ends, ascending. Between two of these epochs the mix does not
 * change.
 */
export function mixChanges({ on, schedule }: Tasks): readonly number[] {
  const ends = on.flatMap((task) => [schedule[task].from, schedule[task].to ?? 0]);
  return [...new Set([0, ...ends])].sort((a, b) => a - b);
}

/** The weights of the losses in an epoch (counted from 0). The weight of a loss that is off in this epoch is 0. */
export function lossWeights(tasks: Tasks, epoch: number, hasAnswers: boolean): LossWeights {
  const on = tasksOn(tasks, epoch, hasAnswers);
  const isOn = (name: LossName): boolean =>
    name === 'obj' || name === 'attr' || name === 'feat'
      ? on.includes('objects') && tasks.visualLosses.includes(name)
      : on.includes(name);
  const weigh = (name: LossName): number => (isOn(name) ? tasks.weights[name] : 0);
  return recordOf(lossNames, weigh);
}

/** Losses without a label in the training data, with the reason. */
type Unlabelled = Readonly<Partial<Record<LossName, string>>>;

/**
 * Checks that every epoch of a run has a loss that is on and has labels.
 * @param epochs the number of epochs of the run, including an epoch that is not completed
 * @returns notes for the user: tasks that begin after the end of the run, losses without labels
 * @throws BAD_CONFIG if all losses of an epoch are off; BAD_DATA if no loss that is on has a label
 */
export function checkTaskMix(
  tasks: Tasks,
  hasAnswers: boolean,
  epochs: number,
  unlabelled: Unlabelled = {},
): readonly string[] {
  const mixes = mixChanges(tasks).filter((epoch) => epoch < epochs);
  const lossesIn = (epoch: number): readonly LossName[] => lossesOn(lossNames, lossWeights(tasks, epoch, hasAnswers));
  for (const epoch of mixes) {
    const on = lossesIn(epoch);
    if (on.some((name) => unlabelled[name] === undefined)) continue;
    const off = tasks.on.flatMap((task) => whyOff(task, { tasks, epoch, hasAnswers, unlabelled }));
    throw new LxmertError(
      on.length === 0 ? 'BAD_CONFIG' : 'BAD_DATA',
      `${on.length === 0 ? 'no loss is on' : 'there is nothing to learn'} in epoch ${epoch} (--tasks ${tasks.on.join(',')}): ` +
        off.join('; '),
    );
  }
  const late = tasks.on.filter((task) => tasks.schedule[task].from >= epochs);
  const idle = lossNames.filter(
    (name) => unlabelled[name] !== undefined && mixes.some((epoch) => lossesIn(epoch).includes(name)),
  );
  return [
    ...late.map((task) => `${task} begins in epoch ${tasks.schedule[task].from}, after the end of this run`),
    ...idle.map((name) => `the loss ${name} has nothing to learn from and stays 0: ${unlabelled[name]}`),
  ];
}

interface Mix {
  readonly tasks: Tasks;
  readonly epoch: number;
  readonly hasAnswers: boolean;
  readonly unlabelled: Unlabelled;
}

/** The reasons, as text, why the losses of a task are off or have no label in an epoch. */
function whyOff(task: TaskName, { tasks, epoch, hasAnswers, unlabelled }: Mix): string[] {
  const { from, to = Infinity } = tasks.schedule[task];
  if (task === 'qa' && !hasAnswers) return ['the data have no answer table (all_ans.json), so qa is off'];
  if (epoch < from) return [`${task} begins in epoch ${from}`];
  if (epoch >= to) return [`${task} ends before epoch ${to}`];
  const weights = lossWeights(tasks, epoch, hasAnswers);
  const on = lossesOf(task).filter((name) => weights[name] > 0);
  if (on.length === 0) return [`${task} has weight 0`];
  return on.flatMap((name) => {
    const reason = unlabelled[name];
    return reason === undefined ? [] : [`${name}: ${reason}`];
  });
}
