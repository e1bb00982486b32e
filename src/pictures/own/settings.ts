import { dirname, join } from 'node:path';
import { z } from 'zod';
import { LxmertError } from '../../errors.js';
import { readText } from '../../formats/text.js';
import { parseYaml } from '../../formats/yaml.js';

const count = z.number().int().positive();
const side = count.max(16_384);
const three = (value: number) => z.array(z.number()).length(3).default([value, value, value]);
const name = z.string().min(1);

const sizeSchema = z.union([
  z.strictObject({ width: side, height: side }),
  z.strictObject({ shorter: side, longer: side }),
]);

const schema = z.strictObject({
  model: name,
  input: z.strictObject({
    name: name.optional(),
    layout: z.enum(['nchw', 'nhwc']).default('nchw'),
    size: sizeSchema,
    resize: z.enum(['bilinear', 'antialiased']).default('antialiased'),
    channels: z.enum(['rgb', 'bgr']).default('rgb'),
    mean: three(0),
    scale: three(1),
  }),
  outputs: z.strictObject({
    boxes: name.optional(),
    features: name.optional(),
    scores: name.optional(),
    classes: name.optional(),
    attributeScores: name.optional(),
    attributes: name.optional(),
    map: name.optional(),
  }),
  boxes: z.enum(['pixels', 'shares']).default('pixels'),
  objects: z
    .strictObject({
      least: count.default(1),
      most: count.default(100),
      threshold: z.number().default(0),
    })
    .prefault({}),
  classes: count.optional(),
  attributes: count.optional(),
});

/** The content of the YAML of the user's own detector. docs/pictures.md describes each key. */
export interface OwnSettings extends Readonly<z.infer<typeof schema>> {
  /** The YAML, for messages. */
  readonly path: string;
  /** The ONNX file. */
  readonly modelPath: string;
}

/**
 * Reads the YAML of the user's own detector.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA naming file, line and key
 */
export async function readOwnSettings(path: string): Promise<OwnSettings> {
  const text = await readText(path, "a detector's YAML");
  const { root, lineOf } = parseYaml(
    text,
    (line, problem, cause) =>
      new LxmertError('BAD_DATA', `${path}:${line === undefined ? '' : `${line}:`} ${problem}`, { cause }),
  );
  const bad = (keys: readonly string[], problem: string) =>
    new LxmertError('BAD_DATA', `${path}:${lineOf(keys)}: ${keys.join('.') || 'the file'}: ${problem}`);
  const parsed = schema.safeParse(root ?? {});
  if (!parsed.success) {
    const [{ path: keys, message, code }] = parsed.error.issues;
    const names = keys.map(String);
    throw bad(names, code === 'invalid_union' ? 'expected width and height, or shorter and longer' : message);
  }
  const settings = parsed.data;
  const { outputs, objects, input } = settings;
  if (outputs.map === undefined && (outputs.boxes === undefined || outputs.features === undefined))
    throw bad(['outputs'], 'expected boxes and features (a detector), or map (a backbone, for --grid)');
  if (objects.least > objects.most)
    throw bad(['objects', 'least'], `${objects.least} is more than most, which is ${objects.most}`);
  if (input.scale.includes(0)) throw bad(['input', 'scale'], 'expected numbers other than 0');
  if ('shorter' in input.size && input.size.shorter > input.size.longer)
    throw bad(['input', 'size', 'shorter'], `${input.size.shorter} is more than longer, which is ${input.size.longer}`);
  return { ...settings, path, modelPath: join(dirname(path), settings.model) };
}
