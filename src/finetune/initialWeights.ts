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
 * The sizes of the model that initial weights are for, of any form; all readers of `--from` are here.
 * @param heads attention heads, for weights without a configuration
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

/** What was taken of initial weights. */
export interface TakenWeights extends InitialCoverage {
  /** The head is for another number of pictures, so all of it stays as drawn. */
  readonly headLeft: boolean;
}

/**
 * Takes initial weights as `loadInitialWeights` does; of a head whose first layer has another width nothing is taken
 * (NLVR2 from a model that has seen one picture).
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

/** What was taken, in words. */
export function describeTaken(from: string, model: StoredModel, taken: TakenWeights): string[] {
  const [first, ...notes] = describeInitial(from, model, taken);
  return [taken.headLeft ? `${first}; the answer head is drawn anew` : first, ...notes];
}
