import { LxmertError } from '../errors.js';
import { modelConfigSchema } from './modelConfig.js';
import type { ModelConfig } from './modelConfig.js';
import { withoutUndefined } from './runConfig.js';
import type { ResolvedRunConfig, RunConfig } from './runConfig.js';

/** Sizes of the model that the data determine. */
export interface DataFacts {
  /** Number of ids of the tokenizer. */
  readonly vocabSize: number;
  /** Number of floats in one RoI feature. */
  readonly visualFeatDim: number;
  /** Number of classes of objects and attributes; undefined if the data do not give it. */
  readonly numObjectLabels?: number | undefined;
  readonly numAttrLabels?: number | undefined;
  /** Number of rows of the answer table; undefined if there is no table. */
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
 * Fills in the sizes that the data determine. A size in the description may be larger than the data need, except the
 * width of features, which must be equal.
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
