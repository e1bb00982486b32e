import { TrainableModel, type ModelOptions } from '../step/trainableModel.js';
import type { LossName } from './losses.js';
import { pretrainObjective, type PretrainOutputs } from './objective.js';

export type PretrainerOptions = ModelOptions;

/** LXMERT with its five pre-training tasks: the trainable model of `pretrainObjective`, under a name of its own. */
export class Pretrainer extends TrainableModel<LossName, PretrainOutputs> {
  constructor(options: PretrainerOptions) {
    super(pretrainObjective, options);
  }
}
