import { Finetuner } from '../finetune/finetuner.js';
import { answerLoss, type AnswerLoss } from '../finetune/objective.js';
import type { ModelOptions } from '../step/trainableModel.js';
import { compareRows, type Comparison } from './compare.js';
import type { Fixture } from './fixture.js';
import {
  compareGradients,
  compareLosses,
  compareTrajectory,
  expectedOf,
  loadWeights,
  lossesAndGradients,
} from './training.js';

const weights = { [answerLoss]: 1 } as const;

/** Compares a fixture of fine-tuning: VQA and GQA (one picture, scores of answers), or NLVR2 (two pictures, two classes). */
export async function compareQuestions(
  fixture: Fixture,
  options: ModelOptions,
  pictures: 1 | 2,
): Promise<Comparison[]> {
  const withModel = async <T>(
    loss: AnswerLoss,
    hiddenStates: boolean,
    use: (model: Finetuner) => Promise<T>,
  ): Promise<T> => {
    const model = new Finetuner({ ...options, pictures, loss, hiddenStates });
    try {
      await loadWeights(fixture, model);
      return await use(model);
    } finally {
      await model.dispose();
    }
  };
  const loss = pictures === 1 ? 'soft' : 'classes';
  return [
    ...(await withModel(loss, true, (model) => compareOutputs(fixture, model))),
    ...(await withModel(loss, false, async (model) => [
      ...(await compareLogits(fixture, model)),
      ...(await compareSteps(fixture, model)),
    ])),
    ...(pictures === 1 ? await withModel('hard', false, (model) => compareHardLoss(fixture, model)) : []),
  ];
}

async function compareOutputs(fixture: Fixture, model: Finetuner): Promise<Comparison[]> {
  const { tokenRows, objectRows, batch } = fixture.batch;
  return model.forward(batch, weights, {
    use: async ({ language, vision, pooled }) => {
      const outputs = [
        ['language_output', language, tokenRows],
        ['vision_output', vision, objectRows],
        ['pooled_output', pooled, null],
      ] as const;
      const comparisons: Comparison[] = [];
      for (const [name, tensor, rows] of outputs) {
        if (!tensor || !fixture.expected.entries.has(name)) continue;
        const ours = await model.engine.readFloats(tensor);
        comparisons.push(compareRows('outputs', name, ours, await expectedOf(fixture, name), rows, tensor.shape[1]));
      }
      return comparisons;
    },
  });
}

/**
 * Compares the logits of a model without hidden states. Such a model does only the work that has an effect on [CLS].
 */
async function compareLogits(fixture: Fixture, model: Finetuner): Promise<Comparison[]> {
  return model.forward(fixture.batch.batch, weights, {
    use: async ({ logits }) => {
      const ours = await model.engine.readFloats(logits);
      return [compareRows('outputs', 'logits', ours, await expectedOf(fixture, 'logits'), null, logits.shape[1])];
    },
  });
}

async function compareSteps(fixture: Fixture, model: Finetuner): Promise<Comparison[]> {
  const { total } = await lossesAndGradients(fixture, model, weights);
  const losses = await compareLosses(fixture, [
    ['total', total],
    ['mean', total / model.config.numQaLabels],
  ]);
  const gradients = await compareGradients(fixture, model);
  const before = await untouched(fixture, model);
  const trajectory = await compareTrajectory(fixture, model, weights);
  return [...losses, ...gradients, ...trajectory, ...(await compareAfter(fixture, model, before))];
}

/** Reads the parameters that the reference never changes: even weight decay is not applied to them. */
async function untouched({ trajectory }: Fixture, model: Finetuner): Promise<ReadonlyMap<string, Float32Array>> {
  const before = new Map<string, Float32Array>();
  for (const name of trajectory?.no_gradient ?? []) before.set(name, await model.read('parameter', name));
  return before;
}

async function compareAfter(
  { after }: Fixture,
  model: Finetuner,
  before: ReadonlyMap<string, Float32Array>,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const [name, values] of before)
    comparisons.push(
      compareRows('trajectory', `untouched ${name}`, await model.read('parameter', name), values, null, 1),
    );
  for (const name of after?.entries.keys() ?? [])
    comparisons.push(
      compareRows(
        'trajectory',
        `${name} afterwards`,
        await model.read('parameter', name),
        await after!.readFloat32(name),
        null,
        1,
      ),
    );
  return comparisons;
}

/** Compares the cross-entropy with the best answer (`--mceLoss` of the original's GQA). */
async function compareHardLoss(fixture: Fixture, model: Finetuner): Promise<Comparison[]> {
  const { batch } = fixture.batch;
  // A question without an answer has the target 0, as in the original.
  const targetLabels = batch.targetLabels?.map((label) => Math.max(0, label));
  const first = { ...fixture, batch: { ...fixture.batch, batch: { ...batch, targetLabels } } };
  const { total } = await lossesAndGradients(first, model, weights);
  return compareLosses(fixture, [['gqa_mce', total]]);
}
