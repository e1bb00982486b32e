import { examplesOf, type Batch } from '../data/batches/batch.js';
import type { Tallies } from '../step/losses.js';
import { TrainableModel, type ModelOptions } from '../step/trainableModel.js';
import {
  answerWeights,
  finetuneObjective,
  type AnswerLossName,
  type FinetuneObjectiveOptions,
  type FinetuneOutputs,
} from './objective.js';

export type FinetunerOptions = ModelOptions & FinetuneObjectiveOptions;

/** LXMERT with an answer head: the trainable model of `finetuneObjective`. */
export class Finetuner extends TrainableModel<AnswerLossName, FinetuneOutputs> {
  /** The number of pictures of one question. */
  readonly pictures: 1 | 2;

  constructor(options: FinetunerOptions) {
    super(finetuneObjective(options), options);
    this.pictures = options.pictures;
  }

  /** Runs forward without dropout. Returns the loss's sums, and the answer with the highest logit of each example. */
  answer(batch: Batch): Promise<{ readonly tallies: Tallies<AnswerLossName>; readonly predictions: Int32Array }> {
    return this.forward(batch, answerWeights, {
      use: async ({ predictions }, tallies) => {
        const [sums, rows] = await Promise.all([tallies(), this.engine.read(predictions)]);
        return { tallies: sums, predictions: (rows as Int32Array).subarray(0, examplesOf(batch)) };
      },
    });
  }

  /** Runs forward without dropout. Returns all logits: [examples × answers]. */
  logits(batch: Batch): Promise<Float32Array> {
    return this.forward(batch, answerWeights, {
      use: async ({ logits }) => {
        const values = await this.engine.readFloats(logits);
        return values.subarray(0, examplesOf(batch) * logits.shape[1]);
      },
    });
  }
}
