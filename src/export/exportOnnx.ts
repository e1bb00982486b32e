import { dirname } from 'node:path';
import { LxmertError } from '../errors.js';
import { floatsToHalves } from '../formats/dtypes.js';
import { makeFolder } from '../formats/atomicFile.js';
import { fileError, isThere } from '../formats/fileErrors.js';
import type { OnnxPort, OnnxStoredTensor, OnnxType, OnnxValues } from '../formats/onnx.js';
import { dataFileOf, writeOnnxFile } from '../formats/onnxFile.js';
import type { WriteOnnxOptions } from '../formats/onnxFile.js';
import { finetuneParameters } from '../finetune/objective.js';
import { demandTensors, openTrainedWeights } from '../finetune/trainedWeights.js';
import type { TrainedWeights, TrainedWeightsOptions } from '../finetune/trainedWeights.js';
import { pretrainParameters } from '../pretrain/objective.js';
import { unequalCopies } from '../weights/coverage.js';
import { float32Pieces } from '../weights/source.js';
import { taskGraph, opset } from './graph/taskGraph.js';
import type { Precision } from './graph/modelGraph.js';
import { metadataOf } from './metadata.js';
import { headsOf, taskOf } from './tasks.js';
import type { ExportTask } from './tasks.js';
import { wordPieceOf } from './vocabulary.js';

export interface ExportOnnxOptions
  extends TrainedWeightsOptions, Pick<WriteOnnxOptions, 'externalData' | 'onProgress' | 'signal'> {
  /** The `.onnx` to write. */
  readonly out: string;
  /** What the graph computes. Default: the task for which the model was fine-tuned, otherwise all of its heads. */
  readonly task?: ExportTask | undefined;
  /** Type of the weights and of the arithmetic; default float32. Inputs and outputs are float32 in both. */
  readonly precision?: Precision | undefined;
  /** A BERT vocab.txt. Default: that of the checkpoint, or of bert-base-uncased if the checkpoint has none. */
  readonly vocabulary?: string | undefined;
  /** Whether existing files are replaced. Default: they are refused. */
  readonly overwrite?: boolean | undefined;
}

export interface ExportedOnnx {
  readonly out: string;
  readonly task: ExportTask;
  readonly precision: Precision;
  readonly opset: number;
  /** Numbers in the weights. */
  readonly parameters: number;
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  /** Bytes of the `.onnx`. */
  readonly bytes: number;
  /** The file with the weights, if they are not in the `.onnx`. */
  readonly data?: { readonly path: string; readonly bytes: number } | undefined;
  readonly notes: readonly string[];
}

/**
 * Writes a trained model as an ONNX graph. The model is one that `openModel` opens. Weights are read and written piece by
 * piece. At any instant `out` is a complete model, or it does not exist.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_CHECKPOINT for weights that do not fit; UNSUPPORTED for a task whose heads the
 *   model does not have; BAD_ARGUMENT if `out` exists, and for weights too large for float16; the signal's reason
 */
export async function exportOnnx(model: string, options: ExportOnnxOptions): Promise<ExportedOnnx> {
  const { out, precision = 'float32', overwrite = false } = options;
  await demandFree(out, overwrite);
  const weights = await openTrainedWeights(model, options);
  const { source, config, heads } = weights;
  try {
    const task = taskOf(weights, options.task);
    const wordPiece = await wordPieceOf(weights, options.vocabulary);
    const { pictures = 1 } = heads;
    const { model: graph, parameters } = taskGraph({
      ...{ task, config, precision, pictures, heads: headsOf(weights) },
      parameter: parametersOf(weights),
    });
    demandTensors(
      weights,
      parameters.map(({ name, dims }) => ({ name, shape: dims })),
    );
    await makeParent(out);
    const metadata = metadataOf({ weights, task, precision, wordPiece });
    const written = await writeOnnxFile(out, graph, parameters, { ...options, metadata });
    return {
      ...{ out, task, precision, opset },
      parameters: parameters.reduce((sum, { dims }) => sum + product(dims), 0),
      inputs: graph.inputs,
      outputs: graph.outputs,
      ...written,
      notes: [
        ...source.notes,
        ...(wordPiece ? [] : [`${model}: its vocabulary is not known, so the graph's metadata have none`]),
        ...(task === 'pretrain' ? await unequalCopies(source) : []),
      ],
    };
  } finally {
    await source.close();
  }
}

const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

async function demandFree(out: string, overwrite: boolean): Promise<void> {
  if (overwrite) return;
  for (const path of [out, dataFileOf(out)])
    if (await isThere(path))
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${path} exists already; give another --out, or add --overwrite to replace it`,
      );
}

async function makeParent(path: string): Promise<void> {
  try {
    await makeFolder(dirname(path));
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}

/** Returns a function that makes a parameter of the graph, whose values are read from the weights when it is written. */
function parametersOf({ source, config, heads }: TrainedWeights) {
  const specs = [...pretrainParameters(config), ...finetuneParameters(config, heads.pictures ?? 1)];
  const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  return (name: string, type: OnnxType): OnnxStoredTensor => ({
    ...{ name, type, dims: shapes.get(name)! },
    pieces: async function* (): AsyncGenerator<OnnxValues> {
      for await (const values of float32Pieces(source.tensors.get(name)!, source.path))
        yield type === 'float16' ? asHalves(values, name, source.path) : values;
    },
  });
}

function asHalves(values: Float32Array, name: string, path: string): Uint16Array {
  const halves = new Uint16Array(values.length);
  const beyond = floatsToHalves(values, halves);
  if (beyond >= 0 && Number.isFinite(values[beyond]))
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${path}: ${name} contains ${values[beyond]}, which is too large for float16; use --precision float32`,
    );
  return halves;
}
