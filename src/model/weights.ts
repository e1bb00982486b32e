import { LxmertError } from '../errors.js';
import {
  elementBytes,
  elements,
  fill,
  fillNormal,
  packWeight,
  type Engine,
  type LayerNormWeights,
  type LinearWeights,
  type Parameter,
} from '../engine/index.js';
import type { ParameterSpec } from './parameters.js';

/** Each parameter begins at a multiple of this number of bytes, unless it must be adjacent to the parameter before it. */
const alignment = 64;

/** A parameter in the arenas. */
export interface StoredParameter extends Parameter {
  readonly spec: ParameterSpec;
  /** Bytes from the start of the parameter arena; the same offset in gradients and moments. */
  readonly offset: number;
}

/** The shape for which a parameter has memory. */
function roomOf({ shape: [rows, ...row], roomRows = rows }: ParameterSpec): number[] {
  return [roomRows, ...row];
}

/** Whether a linear layer may have this weight. Query, key and value are one weight; boxes are not multiplied by `linear`. */
const isLinear = (name: string): boolean => /\.weight$/.test(name) && !/\.(query|key|value|box_fc)\.weight$/.test(name);

/** All weights of a model and their gradients, at fixed places of two arenas. The names are those of transformers. */
export class ModelWeights {
  readonly parameters: readonly StoredParameter[];
  /** Bytes of each of the two arenas. */
  readonly bytes: number;
  readonly #byName: ReadonlyMap<string, StoredParameter>;

  constructor(
    readonly engine: Engine,
    specs: readonly ParameterSpec[],
  ) {
    const offsets: number[] = [];
    let end = 0;
    specs.forEach((spec, i) => {
      const touches = /\.(key|value)\.(weight|bias)$/.test(spec.name);
      const offset = touches ? end : Math.ceil(end / alignment) * alignment;
      offsets[i] = offset;
      end = offset + elements(roomOf(spec)) * elementBytes;
    });
    this.bytes = Math.ceil(end / alignment) * alignment;
    engine.reserve('parameters', this.bytes);
    engine.reserve('gradients', this.bytes);
    this.parameters = specs.map((spec, i) => ({
      ...this.#place(spec.name, offsets[i], spec.shape),
      spec,
      offset: offsets[i],
    }));
    this.#byName = new Map(this.parameters.map((parameter) => [parameter.name, parameter]));
  }

  /** @throws LxmertError INTERNAL for a name that the model does not have */
  get(name: string): StoredParameter {
    const parameter = this.#byName.get(name);
    if (!parameter) throw new LxmertError('INTERNAL', `the model has no parameter ${name}`);
    return parameter;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  linear(name: string): Required<LinearWeights> {
    return { weight: this.get(`${name}.weight`), bias: this.get(`${name}.bias`) };
  }

  norm(name: string): LayerNormWeights {
    return { weight: this.get(`${name}.weight`), bias: this.get(`${name}.bias`) };
  }

  /** Query, key and value of an attention as one product: [3H, H] and [3H]. */
  qkv(name: string): Required<LinearWeights> {
    const fused = (part: 'weight' | 'bias'): Parameter => {
      const { offset, spec } = this.get(`${name}.query.${part}`);
      return this.#place(`${name}.qkv.${part}`, offset, [3 * spec.shape[0], ...spec.shape.slice(1)]);
    };
    return { weight: fused('weight'), bias: fused('bias') };
  }

  /**
   * Lays the weights of all linear layers out for forward products (`packWeight`). The word table stays as it is, because
   * embeddings read it, too; the box weights, too.
   */
  pack(): void {
    for (const { name, tensor } of this.parameters) {
      if (name.endsWith('.query.weight'))
        packWeight(this.engine, this.qkv(name.replace(/\.query\.weight$/, '')).weight.tensor);
      else if (isLinear(name) && this.has(name.replace(/weight$/, 'bias')) && tensor.shape.length === 2)
        packWeight(this.engine, tensor);
    }
  }

  /** The word-embedding table as the decoder of word logits, and its bias, including the additional rows of zeros. */
  wordDecoder(): Required<LinearWeights> {
    const whole = (name: string): Parameter => {
      const { offset, spec } = this.get(name);
      return this.#place(name, offset, roomOf(spec));
    };
    return { weight: whole('lxmert.embeddings.word_embeddings.weight'), bias: whole('cls.predictions.bias') };
  }

  /** Byte ranges [begin, end) of the groups; adjacent ones are joined. */
  ranges(groups: ReadonlySet<string>): [number, number][] {
    const ranges: [number, number][] = [];
    let joins = false;
    for (const { spec, offset } of this.parameters) {
      const end = offset + elements(spec.shape) * elementBytes;
      if (!groups.has(spec.group)) joins = false;
      else if (joins) ranges[ranges.length - 1][1] = end;
      else {
        ranges.push([offset, end]);
        joins = true;
      }
    }
    return ranges;
  }

  /**
   * Draws random weights as the original's `init_bert_weights` does. The values of a parameter depend only on the seed
   * and on the place of the parameter. If the signal is aborted, the function finishes the current parameter and
   * rejects with the signal's reason.
   */
  async initialize(seed: number, deviation: number, signal?: AbortSignal): Promise<void> {
    for (const [stream, { spec, tensor }] of this.parameters.entries()) {
      signal?.throwIfAborted();
      if (spec.initial === 'normal') fillNormal(this.engine, tensor, { deviation, seed, stream });
      else fill(this.engine, tensor, spec.initial === 'ones' ? 1 : 0);
      // If all parameters were enqueued at once, the engine could not stop before the last one.
      await this.engine.synchronize();
    }
  }

  #place(name: string, offset: number, shape: readonly number[]): Parameter {
    return {
      name,
      tensor: this.engine.tensor('parameters', offset, shape),
      gradient: this.engine.tensor('gradients', offset, shape),
    };
  }
}
