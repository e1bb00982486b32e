import { z } from 'zod';
import { LxmertError } from '../errors.js';
import { readOnnxMetadata } from '../formats/onnx.js';

/** The recipes by which published features are made; they must not be mixed. docs/pictures.md compares them. */
export const recipes = ['caffe', 'd2', 'transformers'] as const;
export type RecipeName = (typeof recipes)[number];

const metadataKey = 'lxmert.detector';

const positive = z.number().positive();
const count = z.number().int().positive();

const recipeSchema = z.strictObject({
  recipe: z.enum(recipes),
  /** The picture's shorter side becomes `minSize` pixels, unless the longer would pass `maxSize`. */
  minSize: count,
  maxSize: count,
  /** Subtracted from blue, green and red; then the difference is divided by `std`. */
  mean: z.tuple([z.number(), z.number(), z.number()]),
  std: z.tuple([positive, positive, positive]),
  /** Classes without the background. */
  objects: count,
  attributes: count,
  featureDim: count,
  /** Proposals by objectness: how many before suppression and after. */
  preNms: count,
  postNms: count,
  /** IoU of the last suppression; they are tried in turn until `minDetections` boxes are left. */
  nms: z.array(positive).min(1),
  /** The score from which on boxes are wanted, where their number is left open. */
  threshold: z.number().min(0).max(1),
  minDetections: count,
  maxDetections: count,
  /** SHA-256 of the graph: features of two detectors are not mixed. */
  graph: z.string(),
});

/** What makes features of a detector: written into its `.onnx`. */
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
