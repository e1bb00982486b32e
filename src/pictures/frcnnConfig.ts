import { z } from 'zod';
import { LxmertError } from '../errors.js';
import { readText } from '../formats/text.js';
import { parseYaml } from '../formats/yaml.js';

const positive = z.number().positive();
const count = z.number().int().positive();
const four = z.array(positive).length(4);
const three = z.array(z.number()).length(3);

/** A section that may be absent: then all its fields have their defaults. */
const section = <T extends z.ZodRawShape>(shape: T) => z.object(shape).prefault({} as never);

/**
 * The part of `config.yaml` of transformers' detector that the weights do not tell. Defaults are those of the published
 * unc-nlp/frcnn-vg-finetuned. Other keys are passed over.
 */
const schema = z.object({
  model: section({
    max_pool: z.boolean().default(true),
    pixel_mean: three.default([102.9801, 115.9465, 122.7717]),
    pixel_std: z.array(positive).length(3).default([1, 1, 1]),
  }),
  input: section({
    min_size_test: count.default(800),
    max_size_test: count.default(1333),
    format: z.literal('BGR').default('BGR'),
  }),
  proposal_generator: section({ min_size: z.number().nonnegative().default(0) }),
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
      .default([0.5, 0.6, 0.7]),
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

export type FrcnnConfig = z.infer<typeof schema>;

/** The published configuration, for weights that come without one. */
export const publishedConfig = (): FrcnnConfig => schema.parse({});

/** Reads a detector's `config.yaml`. @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming file, line and key */
export async function readFrcnnConfig(path: string): Promise<FrcnnConfig> {
  const { root, lineOf } = parseYaml(
    await readText(path, "a detector's config.yaml"),
    (line, problem, cause) =>
      new LxmertError('BAD_DATA', `${path}:${line === undefined ? '' : `${line}:`} ${problem}`, { cause }),
  );
  const parsed = schema.safeParse(root ?? {});
  if (!parsed.success) {
    const [{ path: keys, message }] = parsed.error.issues;
    const names = keys.map(String);
    throw new LxmertError('BAD_DATA', `${path}:${lineOf(names)}: ${names.join('.') || 'the whole'}: ${message}`);
  }
  const { min_detections: least, max_detections: most } = parsed.data;
  if (least > most)
    throw new LxmertError('BAD_DATA', `${path}: min_detections is ${least}, more than max_detections, ${most}`);
  return parsed.data;
}
