import { z } from 'zod';
import { LxmertError } from '../../errors.js';
import { readText } from '../../formats/text.js';
import { parseYaml } from '../../formats/yaml.js';
import type { RecipeName } from '../recipe.js';

const positive = z.number().positive();
const count = z.number().int().positive();
const four = z.array(positive).length(4);
const three = z.array(z.number()).length(3);

/** A section that may be absent. If it is absent, all its fields have their defaults. */
const section = <T extends z.ZodRawShape>(shape: T) => z.object(shape).prefault({} as never);

/** The published values that are different in each recipe. */
interface Published {
  readonly minSize: number;
  readonly maxSize: number;
  readonly nms: readonly number[];
  /** Least side of a proposal. */
  readonly minSide: number;
}

/** transformers: unc-nlp/frcnn-vg-finetuned. d2: airsplay's py-bottom-up-attention. caffe: bottom-up-attention. */
const published: Readonly<Record<RecipeName, Published>> = {
  transformers: { minSize: 800, maxSize: 1333, nms: [0.5, 0.6, 0.7], minSide: 0 },
  d2: { minSize: 600, maxSize: 1000, nms: [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], minSide: 0 },
  caffe: { minSize: 600, maxSize: 1000, nms: [0.3], minSide: 16 },
};

/**
 * The keys of `config.yaml` of transformers' detector whose values do not follow from the weights. Other keys are
 * ignored.
 */
const schemaOf = ({ minSize, maxSize, nms, minSide }: Published) =>
  z.object({
    model: section({
      max_pool: z.boolean().default(true),
      pixel_mean: three.default([102.9801, 115.9465, 122.7717]),
      pixel_std: z.array(positive).length(3).default([1, 1, 1]),
    }),
    input: section({
      min_size_test: count.default(minSize),
      max_size_test: count.default(maxSize),
      format: z.literal('BGR').default('BGR'),
    }),
    proposal_generator: section({ min_size: z.number().nonnegative().default(minSide) }),
    anchor_generator: section({
      sizes: z
        .array(z.array(positive).min(1))
        .length(1)
        .default([[64, 128, 256, 512]]),
      aspect_ratios: z
        .array(z.array(positive).min(1))
        .length(1)
        .default([[0.5, 1, 2]]),
      offset: z.literal(0).default(0),
    }),
    rpn: section({
      nms_thresh: positive.max(1).default(0.7),
      pre_nms_topk_test: count.default(6000),
      post_nms_topk_test: count.default(300),
      bbox_reg_weights: four.default([1, 1, 1, 1]),
    }),
    roi_heads: section({
      nms_thresh_test: z
        .union([positive.max(1).transform((one) => [one]), z.array(positive.max(1)).min(1)])
        .default([...nms]),
      score_thresh_test: z.number().min(0).max(1).default(0.2),
    }),
    roi_box_head: section({
      bbox_reg_weights: four.default([10, 10, 5, 5]),
      pooler_resolution: count.max(64).default(14),
      res5halve: z.boolean().default(false),
    }),
    resnets: section({
      norm: z.literal('BN').default('BN'),
      stride_in_1x1: z.boolean().default(true),
    }),
    min_detections: count.default(36),
    max_detections: count.default(36),
  });

type Values = z.infer<ReturnType<typeof schemaOf>>;

/** All values, besides the weights, that determine a graph. */
export interface GraphSettings extends Values {
  /** Caffe's geometry: the last pixel belongs to a box. */
  readonly plusOne: boolean;
  /** Whether the background is the first class and the first attribute (Caffe), or the last (detectron2). */
  readonly backgroundFirst: boolean;
}

/** Values of flags. They replace the values of the configuration. */
export interface SettingChanges {
  readonly minSize?: number | undefined;
  readonly maxSize?: number | undefined;
  readonly preNms?: number | undefined;
  readonly postNms?: number | undefined;
  readonly nms?: readonly number[] | undefined;
}

/**
 * The settings of a recipe. The published values are replaced by those of a `config.yaml` of transformers' detector,
 * and these are replaced by `changes`.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming file, line and key; BAD_ARGUMENT for values that contradict each
 *   other
 */
export async function graphSettings(
  recipe: RecipeName,
  configFile: string | undefined,
  changes: SettingChanges,
): Promise<GraphSettings> {
  const schema = schemaOf(published[recipe]);
  const values = configFile === undefined ? schema.parse({}) : await readConfig(configFile, schema);
  const caffe = recipe === 'caffe';
  return { ...checked(changed(values, changes), recipe), plusOne: caffe, backgroundFirst: caffe };
}

async function readConfig(path: string, schema: ReturnType<typeof schemaOf>): Promise<Values> {
  const { root, lineOf } = parseYaml(
    await readText(path, "a detector's config.yaml"),
    (line, problem, cause) =>
      new LxmertError('BAD_DATA', `${path}:${line === undefined ? '' : `${line}:`} ${problem}`, { cause }),
  );
  const parsed = schema.safeParse(root ?? {});
  if (!parsed.success) {
    const [{ path: keys, message }] = parsed.error.issues;
    const names = keys.map(String);
    throw new LxmertError('BAD_DATA', `${path}:${lineOf(names)}: ${names.join('.') || 'the settings'}: ${message}`);
  }
  if (Object.keys(root ?? {}).every((key) => !(key in schema.shape)))
    throw new LxmertError(
      'BAD_DATA',
      `${path}: it has none of the keys ${Object.keys(schema.shape).join(', ')}; expected the config.yaml of transformers' detector`,
    );
  const { min_detections: least, max_detections: most } = parsed.data;
  if (least > most)
    throw new LxmertError('BAD_DATA', `${path}: min_detections is ${least}, more than max_detections, ${most}`);
  return parsed.data;
}

const changed = (
  { input, rpn, roi_heads, ...rest }: Values,
  { minSize, maxSize, preNms, postNms, nms }: SettingChanges,
): Values => ({
  ...rest,
  input: {
    ...input,
    min_size_test: minSize ?? input.min_size_test,
    max_size_test: maxSize ?? input.max_size_test,
  },
  rpn: {
    ...rpn,
    pre_nms_topk_test: preNms ?? rpn.pre_nms_topk_test,
    post_nms_topk_test: postNms ?? rpn.post_nms_topk_test,
  },
  roi_heads: { ...roi_heads, nms_thresh_test: nms ? [...nms] : roi_heads.nms_thresh_test },
});

function checked(values: Values, recipe: RecipeName): Values {
  const { min_size_test: least, max_size_test: most } = values.input;
  if (least > most)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `the shorter side (min size) is ${least} pixels, more than the longer side may have (max size), ${most}`,
    );
  if (values.rpn.post_nms_topk_test < values.min_detections)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `${values.rpn.post_nms_topk_test} proposals are too few for ${values.min_detections} boxes of a picture`,
    );
  const thresholds = values.roi_heads.nms_thresh_test;
  if (recipe === 'caffe' && thresholds.length > 1)
    throw new LxmertError(
      'BAD_ARGUMENT',
      `the recipe caffe suppresses once, at one IoU; ${thresholds.join(', ')} are ${thresholds.length}`,
    );
  return values;
}
