import { z } from 'zod';
import { LxmertError } from '../errors.js';
import { readOnnxMetadata } from '../formats/onnx.js';

/** The recipes by which published features are made. Features of two recipes must not be mixed (docs/pictures.md). */
export const recipes = ['caffe', 'd2', 'transformers'] as const;
export type RecipeName = (typeof recipes)[number];

const metadataKey = 'lxmert.detector';

const positive = z.number().positive();
const count = z.number().int().positive();

const recipeSchema = z.strictObject({
  recipe: z.enum(recipes),
  /**
   * The shorter side of the picture becomes `minSize` pixels, unless the longer side would be longer than `maxSize`.
   */
  minSize: count,
  maxSize: count,
  /** The mean of blue, green and red is subtracted, and the difference is divided by `std`. */
  mean: z.tuple([z.number(), z.number(), z.number()]),
  std: z.tuple([positive, positive, positive]),
  /** Classes without the background. */
  objects: count,
  attributes: count,
  featureDim: count,
  /** The largest number of proposals before suppression, and after it. */
  preNms: count,
  postNms: count,
  /**
   * IoU thresholds of the last suppression. They are tried one after the other, until `minDetections` boxes are left.
   */
  nms: z.array(positive).min(1),
  /** Boxes with at least this score are taken, as far as `minDetections` and `maxDetections` allow. */
  threshold: z.number().min(0).max(1),
  minDetections: count,
  maxDetections: count,
  /** SHA-256 of the graph. With it, features of two detectors cannot be mixed. */
  graph: z.string(),
});

/** All settings on which the features of a detector depend. The `.onnx` of the detector contains them. */
export type Recipe = Readonly<z.infer<typeof recipeSchema>>;

export const toMetadata = (recipe: Recipe): Record<string, string> => ({ [metadataKey]: JSON.stringify(recipe) });

/** The recipe in a detector's `.onnx`. @throws FILE_MISSING, FILE_ACCESS; BAD_DATA when there is none */
export async function readRecipe(path: string): Promise<Recipe> {
  const text = (await readOnnxMetadata(path))[metadataKey];
  if (text === undefined)
    throw new LxmertError(
      'BAD_DATA',
      `${path}: it does not say by which recipe it makes features; expected a detector made by \`lxmert detector import\``,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = recipeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new LxmertError(
    'BAD_DATA',
    `${path}: its recipe (${metadataKey} of the metadata) is not read here: ${issue.path.join('.') || 'it'}: ${issue.message}. ` +
      'Make the detector again by `lxmert detector import`',
  );
}
