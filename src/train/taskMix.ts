import type { RunConfig } from '../config/runConfig.js';
import { LxmertError } from '../errors.js';
import { lossNames } from '../tasks/losses.js';
import type { LossName, LossWeights } from '../tasks/losses.js';

type Tasks = RunConfig['tasks'];

/**
 * Weights of the losses in an epoch (from 0): 0 for what is off, for QA before its first epoch, and for QA without an
 * answer table.
 */
export function lossWeights(tasks: Tasks, epoch: number, hasAnswers: boolean): LossWeights {
  const weigh = (name: LossName): number => (isOn(tasks, name, epoch, hasAnswers) ? tasks.weights[name] : 0);
  return Object.fromEntries(lossNames.map((name) => [name, weigh(name)])) as Record<LossName, number>;
}

/** @throws BAD_CONFIG when an epoch of the run has no loss at all */
export function checkTaskMix(tasks: Tasks, hasAnswers: boolean): void {
  if (Object.values(lossWeights(tasks, 0, hasAnswers)).some((weight) => weight > 0)) return;
  const why = [
    ...(tasks.on.includes('qa') && !hasAnswers ? ['the data have no answer table (all_ans.json), so QA is off'] : []),
    ...(tasks.on.includes('qa') && tasks.qaFromEpoch > 0 ? [`QA begins in epoch ${tasks.qaFromEpoch}`] : []),
  ];
  const because = why.length > 0 ? `: ${why.join('; ')}` : '';
  throw new LxmertError('BAD_CONFIG', `no loss is on in epoch 0 (--tasks ${tasks.on.join(',')})${because}`);
}

function isOn(tasks: Tasks, name: LossName, epoch: number, hasAnswers: boolean): boolean {
  switch (name) {
    case 'obj':
    case 'attr':
    case 'feat':
      return tasks.on.includes('objects') && tasks.visualLosses.includes(name);
    case 'qa':
      return tasks.on.includes('qa') && hasAnswers && epoch >= tasks.qaFromEpoch;
    default:
      return tasks.on.includes(name);
  }
}
