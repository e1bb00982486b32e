import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { isThere } from '../formats/fileErrors.js';
import { encodeOnnx, encodeOnnxMetadata } from '../formats/onnx.js';
import { isFolderThere } from '../weights/index.js';
import { openDetectorWeights } from './detectorWeights.js';
import { publishedConfig, readFrcnnConfig } from './frcnnConfig.js';
import type { FrcnnConfig } from './frcnnConfig.js';
import { frcnnGraph } from './frcnnGraph.js';
import { toMetadata } from './recipe.js';
import type { Recipe, RecipeName } from './recipe.js';

export interface ImportDetectorOptions {
  readonly recipe: RecipeName;
  /** A `config.yaml`; by default the one in the folder of the weights, else the published values. */
  readonly config?: string | undefined;
  /** Take the place of what the configuration says. */
  readonly minSize?: number | undefined;
  readonly maxSize?: number | undefined;
  readonly preNms?: number | undefined;
  readonly postNms?: number | undefined;
  readonly nms?: readonly number[] | undefined;
  /** Also make the values inside of the graph its outputs, to compare them with a reference. */
  readonly withStages?: boolean | undefined;
}

export interface ImportedDetector {
  readonly recipe: Recipe;
  /** Of the file. */
  readonly bytes: number;
  readonly notes: readonly string[];
}

/**
 * Writes a detector as one ONNX graph, with its recipe in the file's metadata.
 * @param from transformers' folder (`config.yaml` and `pytorch_model.bin` or `model.safetensors`), or a file of its weights, also
 *   detectron2's pickle of the same layers
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for weights or a configuration that do not fit; BAD_ARGUMENT
 */
export async function importDetector(
  from: string,
  out: string,
  options: ImportDetectorOptions,
): Promise<ImportedDetector> {
  const beside = (await isFolderThere(from)) ? join(from, 'config.yaml') : undefined;
  const path = options.config ?? (beside !== undefined && (await isThere(beside)) ? beside : undefined);
  const config = withOptions(path === undefined ? publishedConfig() : await readFrcnnConfig(path), options);
  const weights = await openDetectorWeights(from);
  try {
    const { withStages } = options;
    const { model, objects, attributes, featureDim } = await frcnnGraph(weights, config, { withStages });
    const fields: Omit<Recipe, 'graph'> = {
      recipe: options.recipe,
      minSize: config.input.min_size_test,
      maxSize: config.input.max_size_test,
      mean: three(config.model.pixel_mean),
      std: three(config.model.pixel_std),
      objects,
      attributes,
      featureDim,
      preNms: config.rpn.pre_nms_topk_test,
      postNms: config.rpn.post_nms_topk_test,
      nms: config.roi_heads.nms_thresh_test,
      minDetections: config.min_detections,
      maxDetections: config.max_detections,
    };
    const graph = encodeOnnx(model);
    const recipe: Recipe = { ...fields, graph: createHash('sha256').update(graph).digest('hex') };
    const metadata = encodeOnnxMetadata(toMetadata(recipe));
    await writeFileAtomic(out, Buffer.concat([metadata, graph]));
    const notes =
      path === undefined
        ? [`${from} has no config.yaml; sizes and thresholds are the published ones. --config names another`]
        : [];
    return { recipe, bytes: metadata.length + graph.length, notes };
  } finally {
    await weights.close();
  }
}

const three = ([a, b, c]: readonly number[]): [number, number, number] => [a, b, c];

function withOptions(config: FrcnnConfig, options: ImportDetectorOptions): FrcnnConfig {
  const { input, rpn, roi_heads } = config;
  const result: FrcnnConfig = {
    ...config,
    input: {
      ...input,
      min_size_test: options.minSize ?? input.min_size_test,
      max_size_test: options.maxSize ?? input.max_size_test,
    },
    rpn: {
      ...rpn,
      pre_nms_topk_test: options.preNms ?? rpn.pre_nms_topk_test,
      post_nms_topk_test: options.postNms ?? rpn.post_nms_topk_test,
    },
    roi_heads: { ...roi_heads, nms_thresh_test: options.nms ? [...options.nms] : roi_heads.nms_thresh_test },
  };
  const { min_size_test: least, max_size_test: most } = result.input;
  if (least > most)
    throw new LxmertError('BAD_ARGUMENT', `the shorter side is to be ${least} pixels, the longer at most ${most}`);
  if (result.rpn.post_nms_topk_test < result.min_detections)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${result.rpn.post_nms_topk_test} proposals are too few for ${result.min_detections} boxes of a picture`,
    );
  return result;
}
