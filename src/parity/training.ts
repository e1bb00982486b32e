import { LxmertError } from '../errors.js';
import type { LossWeights, MeanLosses } from '../step/losses.js';
import type { TrainableModel } from '../step/trainableModel.js';
import { learningRate } from '../train/schedule.js';
import { compareRows, type Comparison } from './compare.js';
import type { Fixture } from './fixture.js';

/** Comparisons for fixtures of both pre-training and fine-tuning: weights, losses, gradients, optimizer steps. */

type AnyModel = Pick<TrainableModel<never, unknown>, 'weights' | 'parameters' | 'write' | 'read'>;

export const expectedOf = ({ expected }: Fixture, name: string): Promise<Float32Array> => expected.readFloat32(name);

/** @throws BAD_DATA for a tensor that the model does not have, or that has another shape */
export async function loadWeights({ model: file, pictures }: Fixture, model: AnyModel): Promise<void> {
  const unknown = [...file.entries.keys()].find((name) => !model.weights.has(name));
  if (unknown) {
    const owner = pictures ? 'a model that answers questions' : 'LxmertForPreTraining';
    throw new LxmertError('BAD_DATA', `${file.path}: tensor '${unknown}' is not one of ${owner}`);
  }
  for (const { name, shape } of model.parameters) {
    const given = file.entry(name).shape;
    if (given.length !== shape.length || given.some((n, i) => n !== shape[i]))
      throw new LxmertError(
        'BAD_DATA',
        `${file.path}: tensor '${name}' is [${given.join(', ')}], its config.json says [${shape.join(', ')}]`,
      );
    await model.write('parameter', name, await file.readFloat32(name));
  }
}

/** Computes the losses of the fixture's batch. Afterwards its gradients are on the device. */
export async function lossesAndGradients<L extends string>(
  { batch }: Fixture,
  model: TrainableModel<L, unknown>,
  weights: LossWeights<L>,
): Promise<{ readonly total: number; readonly losses: MeanLosses<L> }> {
  const tallies = await model.gradients([batch.batch], { step: 0, learningRate: 0, seed: 0, weights });
  return model.losses(tallies, weights);
}

/** Compares our losses with those of the fixture that exist: `loss.<name>`. */
export async function compareLosses(
  fixture: Fixture,
  ours: readonly (readonly [name: string, loss: number])[],
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const [name, loss] of ours) {
    const key = `loss.${name}`;
    if (fixture.expected.entries.has(key))
      comparisons.push(compareRows('losses', name, Float32Array.of(loss), await expectedOf(fixture, key), null, 1));
  }
  return comparisons;
}

/** Compares the gradients of all parameters for which the fixture has a gradient. */
export async function compareGradients(fixture: Fixture, model: AnyModel): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const { name } of model.parameters) {
    const key = `grad.${name}`;
    if (!fixture.expected.entries.has(key)) continue;
    const ours = await model.read('gradient', name);
    comparisons.push(compareRows('gradients', name, ours, await expectedOf(fixture, key), null, 1));
  }
  return comparisons;
}

/** Compares the loss before each optimizer step of the trajectory, and after the last step. */
export async function compareTrajectory<L extends string>(
  { trajectory, batch }: Fixture,
  model: TrainableModel<L, unknown>,
  weights: LossWeights<L>,
): Promise<Comparison[]> {
  if (!trajectory) return [];
  const { lr, warmup, t_total: totalSteps } = trajectory.optimizer;
  const comparisons: Comparison[] = [];
  for (const [step, theirs] of trajectory.total_loss.entries()) {
    const { loss, gradNorm } = await model.step([batch.batch], {
      step,
      learningRate: learningRate(step, { lr, totalSteps, warmup }),
      seed: 0,
      weights,
    });
    const difference = Math.abs(loss - theirs);
    comparisons.push({ kind: 'trajectory', name: `loss before step ${step}`, difference, norm: Math.abs(theirs) });
    const norm = trajectory.grad_norm?.[step];
    if (norm !== undefined)
      comparisons.push({
        ...{ kind: 'trajectory', name: `gradient norm of step ${step}` },
        ...{ difference: Math.abs(gradNorm - norm), norm },
      });
  }
  return comparisons;
}
