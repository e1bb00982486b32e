import type { ModelConfig } from '../config/modelConfig.js';
import {
  describeInitial,
  loadInitialWeights,
  lookForInitialWeights,
  type InitialCoverage,
  type StateKind,
  type StoredModel,
} from '../train/index.js';
import { configOf } from '../weights/config.js';
import { openWeights } from '../weights/index.js';

/**
 * Returns the sizes of a model that has these initial weights, in any form that `--from` accepts.
 * @param heads number of attention heads, for weights without a configuration
 */
export async function initialModelConfig(from: string, heads?: number): Promise<ModelConfig> {
  await lookForInitialWeights(from);
  const source = await openWeights(from);
  try {
    return (await configOf(source, heads)).config;
  } finally {
    await source.close();
  }
}

const head = 'answer_head.';
const firstOfHead = `${head}logit_fc.0.weight`;

/** The parts that were loaded from initial weights. */
export interface TakenWeights extends InitialCoverage {
  /** The head of the initial weights is for another number of pictures, so the model's head keeps its random values. */
  readonly headLeft: boolean;
}

/**
 * Loads initial weights as `loadInitialWeights` does. If the first layer of their head has another width, nothing of the
 * head is loaded (for example when a model for NLVR2 begins from a model for one picture).
 */
export async function takeInitialWeights(
  from: string,
  model: StoredModel & { readonly config: ModelConfig },
  answers: readonly string[],
  { allowMissing, signal }: { readonly allowMissing?: readonly string[]; readonly signal?: AbortSignal } = {},
): Promise<TakenWeights> {
  let fits = false;
  const guarded = {
    config: model.config,
    parameters: model.parameters,
    read: (kind: StateKind, name: string) => model.read(kind, name),
    write: async (kind: StateKind, name: string, values: Float32Array) => {
      if (name === firstOfHead) fits = true;
      if (!name.startsWith(head) || fits) await model.write(kind, name, values);
    },
  };
  const taken = await loadInitialWeights(from, guarded, answers, signal, allowMissing);
  return { ...taken, answers: fits ? taken.answers : undefined, headLeft: !fits };
}

/** Describes for the user what was loaded. */
export function describeTaken(from: string, model: StoredModel, taken: TakenWeights): string[] {
  const [first, ...notes] = describeInitial(from, model, taken);
  return [taken.headLeft ? `${first}; the answer head has new random weights` : first, ...notes];
}
