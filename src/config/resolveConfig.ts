import { LxmertError } from '../errors.js';
import { modelConfigSchema } from './modelConfig.js';
import type { ModelConfig } from './modelConfig.js';
import { withoutUndefined } from './runConfig.js';
import type { ResolvedRunConfig, RunConfig } from './runConfig.js';

/** What the data say about the model's sizes. */
export interface DataFacts {
  /** Ids that the tokenizer may give. */
  readonly vocabSize: number;
  /** Floats of one RoI feature. */
  readonly visualFeatDim: number;
  /** Labels that objects and attributes may have; undefined when the data do not say. */
  readonly numObjectLabels?: number | undefined;
  readonly numAttrLabels?: number | undefined;
  /** Rows of the answer table; undefined when there is none. */
  readonly numQaLabels?: number | undefined;
}

const what: Readonly<Record<keyof DataFacts, string>> = {
  vocabSize: 'the tokenizer has',
  visualFeatDim: 'a RoI feature of the data has',
  numObjectLabels: 'object classes in the data:',
  numAttrLabels: 'attribute classes in the data:',
  numQaLabels: 'the answer table has',
};

/**
 * Fills in the sizes that the data decide. A table may be larger than the data need, the feature width must agree.
 * @throws BAD_CONFIG naming the setting
 */
export function resolveRunConfig(config: RunConfig, facts: DataFacts): ResolvedRunConfig {
  const model: Record<string, unknown> = withoutUndefined(config.model);
  for (const name of Object.keys(what) as (keyof DataFacts)[]) {
    const inData = facts[name];
    if (inData === undefined) continue;
    const given = config.model[name];
    const fits = given === undefined || (name === 'visualFeatDim' ? given === inData : given >= inData);
    if (!fits)
      throw new LxmertError(
        'BAD_CONFIG',
        `model.${name} is ${given}, but ${what[name]} ${inData}; leave it out to take it from the data`,
      );
    model[name] = given ?? inData;
  }
  return { ...config, model: modelConfigSchema.parse(model) satisfies ModelConfig };
}
