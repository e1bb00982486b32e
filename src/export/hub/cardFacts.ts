import type { ModelConfig } from '../../config/modelConfig.js';
import type { TaskDescription } from '../../finetune/taskFile.js';
import type { ConvertReport, WantedTensor } from '../../weights/index.js';
import type { TrainingFacts } from './training.js';

/** What a model card is made from. */
export interface CardFacts {
  /** The name of the model. */
  readonly name: string;
  readonly kind: ConvertReport['kind'];
  readonly config: ModelConfig;
  readonly tensors: readonly WantedTensor[];
  readonly answers?: readonly string[] | undefined;
  readonly task?: TaskDescription | undefined;
  readonly training?: TrainingFacts | undefined;
  readonly hasTokenizer: boolean;
}
