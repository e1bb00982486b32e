import { TrainableModel, type ModelOptions } from '../step/trainableModel.js';
import {
  finetuneObjective,
  type AnswerLossName,
  type FinetuneObjectiveOptions,
  type FinetuneOutputs,
} from './objective.js';

export type FinetunerOptions = ModelOptions & FinetuneObjectiveOptions;

/** LXMERT with an answer head: the trainable model of `finetuneObjective`. */
export class Finetuner extends TrainableModel<AnswerLossName, FinetuneOutputs> {
  /** Pictures of one question. */
  readonly pictures: 1 | 2;

  constructor(options: FinetunerOptions) {
    super(finetuneObjective(options), options);
    this.pictures = options.pictures;
  }
}
