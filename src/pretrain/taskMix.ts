import type { RunConfig } from '../config/runConfig.js';
import type { TaskName } from '../config/tasks.js';
import { LxmertError } from '../errors.js';
import { lossNames } from './losses.js';
import type { LossName, LossWeights } from './losses.js';

type Tasks = RunConfig['tasks'];

/** Tasks that are on in an epoch (from 0); QA never is without an answer table. */
export function tasksOn({ on, schedule }: Tasks, epoch: number, hasAnswers: boolean): readonly TaskName[] {
  return on.filter((task) => {
    const { from, to = Infinity } = schedule[task];
    return epoch >= from && epoch < to && (task !== 'qa' || hasAnswers);
  });
}

/** The epochs in which a task begins or ends, ascending, and 0: the mix stays the same from one to the next. */
export function mixChanges({ on, schedule }: Tasks): readonly number[] {
  const ends = on.flatMap((task) => [schedule[task].from, schedule[task].to ?? 0]);
  return [...new Set([0, ...ends])].sort((a, b) => a - b);
}

/** Weights of the losses in an epoch (from 0): 0 for what is off in it. */
export function lossWeights(tasks: Tasks, epoch: number, hasAnswers: boolean): LossWeights {
  const on = tasksOn(tasks, epoch, hasAnswers);
  const isOn = (name: LossName): boolean =>
    name === 'obj' || name === 'attr' || name === 'feat'
      ? on.includes('objects') && tasks.visualLosses.includes(name)
      : on.includes(name);
  const weigh = (name: LossName): number => (isOn(name) ? tasks.weights[name] : 0);
  return Object.fromEntries(lossNames.map((name) => [name, weigh(name)])) as Record<LossName, number>;
}

/**
 * @param epochs of the run, begun ones too
 * @returns what the user should know: tasks that the run is too short for
 * @throws BAD_CONFIG when an epoch of the run has no loss at all
 */
export function checkTaskMix(tasks: Tasks, hasAnswers: boolean, epochs: number): readonly string[] {
  for (const epoch of mixChanges(tasks)) {
    if (epoch >= epochs || Object.values(lossWeights(tasks, epoch, hasAnswers)).some((weight) => weight > 0)) continue;
    const off = tasks.on.map((task) => whyOff(tasks, task, epoch, hasAnswers));
    throw new LxmertError(
      'BAD_CONFIG',
      `no loss is on in epoch ${epoch} (--tasks ${tasks.on.join(',')}): ${off.join('; ')}`,
    );
  }
  return tasks.on
    .filter((task) => tasks.schedule[task].from >= epochs)
    .map((task) => `${task} begins in epoch ${tasks.schedule[task].from}, after the end of this run`);
}

function whyOff({ schedule }: Tasks, task: TaskName, epoch: number, hasAnswers: boolean): string {
  const { from, to = Infinity } = schedule[task];
  if (task === 'qa' && !hasAnswers) return 'the data have no answer table (all_ans.json), so qa is off';
  if (epoch < from) return `${task} begins in epoch ${from}`;
  if (epoch >= to) return `${task} ends before epoch ${to}`;
  return `${task} has weight 0`;
}
