import { modelConfigSchema } from '../../../src/config/modelConfig.js';
import type { Batch } from '../../../src/data/batches/batch.js';
import type { FeatureTable } from '../../../src/data/features/residentFeatures.js';
import { LxmertError } from '../../../src/errors.js';
import type { LoadOptions } from '../../../src/step/featureTable.js';
import { lossNames } from '../../../src/pretrain/losses.js';
import type { LossName, LossWeights, StepOptions, StepResult, Tallies } from '../../../src/pretrain/losses.js';
import type { PretrainModel } from '../../../src/pretrain/parts.js';
import { stateKinds } from '../../../src/train/trainable.js';
import type { StateEntry, StateKind } from '../../../src/train/trainable.js';

export interface FakeModelOptions {
  /** Optimizer steps (from 0) whose gradient is not finite. */
  readonly notFiniteAt?: number;
  /** Name of a sample all of whose losses are NaN. */
  readonly badSample?: string;
  /** Milliseconds until the results of a step are known. */
  readonly delay?: number;
  /** An optimizer step (from 0) whose results are held back until the promise is fulfilled. */
  readonly held?: { readonly step: number; readonly until: Promise<unknown> };
  /** Number of elements of an additional tensor, which makes checkpoints larger. */
  readonly ballast?: number;
  readonly parameters?: readonly StateEntry[];
}

const someParameters: readonly StateEntry[] = [
  { name: 'lxmert.embeddings.word_embeddings.weight', shape: [7, 4] },
  { name: 'lxmert.pooler.dense.bias', shape: [5] },
  { name: 'answer_head.logit_fc.3.weight', shape: [3, 2] },
];

/** Replaces LXMERT by a few parameters with BertAdam: each result depends on the batch and on the complete state. */
export class FakeModel implements PretrainModel {
  readonly config = modelConfigSchema.parse({});
  readonly parameters: readonly StateEntry[];
  /** The largest number of enqueued steps whose results were not yet known. */
  mostInFlight = 0;
  readonly reads: string[] = [];
  disposed = false;
  readonly #options: FakeModelOptions;
  readonly #state = new Map<string, Float32Array>();
  #inFlight = 0;

  constructor(options: FakeModelOptions = {}) {
    this.#options = options;
    const { parameters = someParameters, ballast = 0 } = options;
    this.parameters = ballast > 0 ? [...parameters, { name: 'cls.ballast', shape: [ballast] }] : parameters;
    for (const kind of stateKinds)
      for (const { name, shape } of this.parameters)
        this.#state.set(`${kind} ${name}`, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  }

  async read(kind: StateKind, name: string): Promise<Float32Array> {
    this.reads.push(`${kind} ${name}`);
    return this.#tensor(kind, name).slice();
  }

  async write(kind: StateKind, name: string, values: Float32Array): Promise<void> {
    this.#tensor(kind, name).set(values);
  }

  async initialize(seed: number): Promise<void> {
    for (const { name } of this.parameters) {
      const values = this.#tensor('parameter', name);
      for (let i = 0; i < values.length; i++) values[i] = Math.sin(seed + 3 * i + name.length);
    }
  }

  async loadFeatures(_table: FeatureTable, _options?: LoadOptions): Promise<void> {
    throw new LxmertError('UNSUPPORTED', 'its batches carry their features');
  }

  async step(parts: readonly Batch[], { step, learningRate, seed, weights }: StepOptions): Promise<StepResult> {
    const { total, losses } = this.losses(this.#tally(parts, weights), weights);
    const bad = this.#options.notFiniteAt === step || !Number.isFinite(total);
    if (!bad) this.#update(parts, learningRate, Math.cos(step + seed));
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
    const { delay = 0, held } = this.#options;
    await new Promise((done) => setTimeout(done, delay));
    if (held?.step === step) await held.until;
    this.#inFlight--;
    demandUnreleased(parts);
    if (bad) throw new LxmertError('NOT_FINITE', 'the gradient is not finite');
    return { loss: total, losses, gradNorm: Math.abs(total) / 3 };
  }

  async answer({ size }: Batch): Promise<Int32Array> {
    return new Int32Array(size);
  }

  async evaluate(batch: Batch, weights: LossWeights): Promise<Tallies> {
    const tallies = this.#tally([batch], weights);
    await new Promise((done) => setImmediate(done));
    demandUnreleased([batch]);
    return tallies;
  }

  losses(tallies: Tallies, weights: LossWeights) {
    const on = lossNames.filter((name) => weights[name] > 0);
    const losses: Partial<Record<LossName, number>> = Object.fromEntries(
      on.map((name) => [name, tallies[name].lossSum / Math.max(1, tallies[name].count)]),
    );
    return { total: on.reduce((sum, name) => sum + weights[name] * losses[name]!, 0), losses };
  }

  dispose(): void {
    this.disposed = true;
  }

  #tensor(kind: StateKind, name: string): Float32Array {
    return this.#state.get(`${kind} ${name}`)!;
  }

  #tally(parts: readonly Batch[], weights: LossWeights): Tallies {
    const bad = parts.some(({ sampleIds }) => sampleIds.includes(this.#options.badSample ?? ''));
    const words = parts.reduce((sum, { tokenIds }) => sum + tokenIds.reduce((a, b) => a + b, 0), 0);
    const first = this.#tensor('parameter', this.parameters[0].name);
    const samples = parts.reduce((sum, { size }) => sum + size, 0);
    const tally = (name: LossName, i: number) => {
      const value = bad ? NaN : 2 + Math.sin(words + i) + first[i];
      return [
        name,
        {
          lossSum: samples * value,
          count: samples,
          correct: name === 'feat' ? 0 : i,
          labelled: name === 'feat' ? 0 : samples,
        },
      ] as const;
    };
    const zero = { lossSum: 0, count: 0, correct: 0, labelled: 0 };
    return Object.fromEntries(
      lossNames.map((name, i) => (weights[name] > 0 ? tally(name, i) : [name, zero])),
    ) as unknown as Tallies;
  }

  #update(parts: readonly Batch[], learningRate: number, noise: number): void {
    const words = parts.reduce((sum, { tokenIds }) => sum + tokenIds.reduce((a, b) => a + b, 0), 0);
    for (const { name } of this.parameters) {
      const [weights, first, second] = stateKinds.map((kind) => this.#tensor(kind, name));
      for (let i = 0; i < weights.length; i++) {
        const gradient = Math.fround(weights[i] + noise * Math.sin(words + i));
        first[i] = 0.9 * first[i] + 0.1 * gradient;
        second[i] = 0.999 * second[i] + 0.001 * gradient * gradient;
        weights[i] -= learningRate * (first[i] / (Math.sqrt(second[i]) + 1e-6) + 0.01 * weights[i]);
      }
    }
  }
}

/** The model may read a batch until its results are known. */
function demandUnreleased(parts: readonly Batch[]): void {
  if (parts.some(({ tokenIds }) => tokenIds.includes(-1))) throw new Error('a batch was released too early');
}
