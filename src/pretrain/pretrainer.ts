import type { Batch } from '../data/batches/batch.js';
import { TrainableModel, type ModelOptions } from '../step/trainableModel.js';
import { onlyLoss, type LossName } from './losses.js';
import { pretrainObjective, type PretrainOutputs } from './objective.js';

export type PretrainerOptions = ModelOptions;

/** LXMERT with its five pre-training tasks: the trainable model of `pretrainObjective`. */
export class Pretrainer extends TrainableModel<LossName, PretrainOutputs> {
  /** @throws LxmertError as `TrainableModel` */
  constructor(options: PretrainerOptions) {
    super(pretrainObjective, options);
  }

  /**
   * The answer of the model to each sample, computed without dropout: the row of the answer head with the largest
   * logit. If several logits are equal, it is the first of these rows. If the logits are not numbers, it is -1.
   * [samples]
   * @throws LxmertError BAD_DATA
   */
  answer(batch: Batch): Promise<Int32Array> {
    return this.forward(batch, onlyLoss('qa'), {
      use: async ({ predictions: { qa } }) => Int32Array.from((await this.engine.read(qa!)).subarray(0, batch.size)),
    });
  }
}
