import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { LxmertError } from '../../errors.js';
import { writeFileAtomic } from '../../formats/atomicFile.js';
import { isThere } from '../../formats/fileErrors.js';
import { encodeOnnx, encodeOnnxMetadata } from '../../formats/onnx.js';
import { isFolderThere } from '../../weights/index.js';
import { detectorGraph } from '../graph/detectorGraph.js';
import { toMetadata } from '../recipe.js';
import type { Recipe, RecipeName } from '../recipe.js';
import { openDetectorWeights } from './detectorWeights.js';
import { graphSettings } from './settings.js';
import type { SettingChanges } from './settings.js';

export interface ImportDetectorOptions extends SettingChanges {
  readonly recipe: RecipeName;
  /**
   * A `config.yaml` of transformers' detector. The recipe `transformers` uses the `config.yaml` in the folder of the
   * weights by default, if there is one.
   */
  readonly config?: string | undefined;
  /**
   * Whether the values inside the graph (`stages`) are also outputs, so that a test can compare them with a reference.
   */
  readonly withStages?: boolean | undefined;
}

export interface ImportedDetector {
  readonly recipe: Recipe;
  /** Size of the file. */
  readonly bytes: number;
  readonly notes: readonly string[];
}

/**
 * Writes a detector as one ONNX graph, with its recipe in the file's metadata.
 * @param from for `caffe`, a `.caffemodel`. For the other recipes, transformers' folder (`config.yaml` and
 *   `pytorch_model.bin` or `model.safetensors`), a file of weights from this folder, or detectron2's pickle of the same
 *   layers
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for weights or a configuration that do not fit; BAD_ARGUMENT
 */
export async function importDetector(
  from: string,
  out: string,
  options: ImportDetectorOptions,
): Promise<ImportedDetector> {
  const { recipe: name, withStages } = options;
  const config = await configOf(from, options);
  const settings = await graphSettings(name, config, options);
  const weights = await openDetectorWeights(from, name);
  try {
    const { model, objects, attributes, featureDim } = await detectorGraph(weights, settings, { withStages });
    const fields: Omit<Recipe, 'graph'> = {
      recipe: name,
      minSize: settings.input.min_size_test,
      maxSize: settings.input.max_size_test,
      mean: three(settings.model.pixel_mean),
      std: three(settings.model.pixel_std),
      ...{ objects, attributes, featureDim },
      preNms: settings.rpn.pre_nms_topk_test,
      postNms: settings.rpn.post_nms_topk_test,
      nms: settings.roi_heads.nms_thresh_test,
      threshold: settings.roi_heads.score_thresh_test,
      minDetections: settings.min_detections,
      maxDetections: settings.max_detections,
    };
    const graph = encodeOnnx(model);
    const recipe: Recipe = { ...fields, graph: createHash('sha256').update(graph).digest('hex') };
    const metadata = encodeOnnxMetadata(toMetadata(recipe));
    await writeFileAtomic(out, Buffer.concat([metadata, graph]));
    const notes =
      name === 'transformers' && config === undefined
        ? [`${from} has no config.yaml; sizes and thresholds are the published ones. --config names a file`]
        : [];
    return { recipe, bytes: metadata.length + graph.length, notes };
  } finally {
    await weights.close();
  }
}

/** The configuration file to use. Only the recipe `transformers` uses the `config.yaml` beside the weights. */
async function configOf(from: string, { recipe, config }: ImportDetectorOptions): Promise<string | undefined> {
  if (recipe === 'caffe' && config !== undefined)
    throw new LxmertError(
      'BAD_ARGUMENT',
      'the recipe caffe has no configuration file; --min-size and others set values',
    );
  if (config !== undefined || recipe !== 'transformers' || !(await isFolderThere(from))) return config;
  const beside = join(from, 'config.yaml');
  return (await isThere(beside)) ? beside : undefined;
}

const three = ([a, b, c]: readonly number[]): [number, number, number] => [a, b, c];
