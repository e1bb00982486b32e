import { z } from 'zod';
import { finetuneConfigSchema } from './finetuneConfig.js';
import { runConfigSchema } from './runConfig.js';
import { lossNames, taskNames } from './tasks.js';

/** One setting of a run: its place in the description and the flag that sets it. */
export interface ConfigField {
  readonly path: readonly string[];
  /** The flag without its dashes. */
  readonly flag: string;
  readonly kind: 'number' | 'integer' | 'text' | 'choice' | 'list' | 'switch';
  /** For `choice`, and for a `list` of known names. */
  readonly choices?: readonly string[];
  readonly description: string;
  readonly default?: unknown;
}

const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Flags whose name is not the name of the field. */
const flagNames: Readonly<Record<string, string>> = {
  'data.folder': 'data',
  'tasks.on': 'tasks',
  ...Object.fromEntries(lossNames.map((loss) => [`tasks.weights.${loss}`, `${kebab(loss)}-weight`])),
  ...Object.fromEntries(
    taskNames.flatMap((task) =>
      ['from', 'to'].map((end) => [`tasks.schedule.${task}.${end}`, `${kebab(task)}-${end}-epoch`]),
    ),
  ),
};

type Shape = Readonly<Record<string, z.core.$ZodType>>;

interface Unwrapped {
  readonly type: z.core.$ZodType;
  readonly description: string;
  readonly default?: unknown;
}

/** Removes the wrappers of a type (default, optional, checks) and returns their description and default. */
function unwrap(type: z.core.$ZodType): Unwrapped {
  const description = z.globalRegistry.get(type)?.description ?? '';
  if (type instanceof z.ZodDefault) {
    const inner = unwrap(type.def.innerType);
    return { ...inner, description: description || inner.description, default: type.def.defaultValue };
  }
  if (type instanceof z.ZodOptional || type instanceof z.ZodPrefault) {
    const inner = unwrap(type.def.innerType);
    return { ...inner, description: description || inner.description };
  }
  if (type instanceof z.ZodPipe) return unwrap(type.def.in);
  return { type, description };
}

/** The keys of an object schema, or undefined for a leaf. */
function shapeOf(type: z.core.$ZodType): Shape | undefined {
  const inner = unwrap(type).type;
  return inner instanceof z.ZodObject ? inner.shape : undefined;
}

function kindOf(type: z.core.$ZodType): Pick<ConfigField, 'kind' | 'choices'> | undefined {
  if (type instanceof z.ZodNumber) return { kind: type.format === 'safeint' ? 'integer' : 'number' };
  if (type instanceof z.ZodString) return { kind: 'text' };
  if (type instanceof z.ZodBoolean) return { kind: 'switch' };
  if (type instanceof z.ZodEnum) return { kind: 'choice', choices: type.options.map(String) };
  if (type instanceof z.ZodArray) {
    const element = kindOf(type.def.element);
    return { kind: 'list', choices: element?.choices };
  }
  return undefined;
}

function collect(shape: Shape, parents: readonly string[]): ConfigField[] {
  return Object.entries(shape).flatMap(([key, type]) => {
    const path = [...parents, key];
    const inner = shapeOf(type);
    if (inner) return collect(inner, path);
    const leaf = unwrap(type);
    const kind = kindOf(leaf.type);
    // A literal has only one value, so it is not a setting.
    if (!kind) return [];
    return [
      {
        path,
        flag: flagNames[path.join('.')] ?? kebab(key),
        ...kind,
        description: leaf.description,
        default: leaf.default,
      },
    ];
  });
}

/** The settings that describe a kind of run. */
export interface RunSettings {
  /** In the order of the schema. */
  readonly fields: readonly ConfigField[];
  /**
   * The names of the settings at a place of the description (`[]` is the top); undefined if there is no object at this
   * place.
   */
  readonly knownKeys: (path: readonly string[]) => readonly string[] | undefined;
}

function settingsOf(schema: z.core.$ZodType): RunSettings {
  const rootShape = shapeOf(schema) ?? {};
  return {
    fields: collect(rootShape, []),
    knownKeys: (path) => {
      let shape: Shape | undefined = rootShape;
      for (const key of path) {
        const type: z.core.$ZodType | undefined = shape && Object.hasOwn(shape, key) ? shape[key] : undefined;
        shape = type && shapeOf(type);
      }
      return shape && Object.keys(shape);
    },
  };
}

export const pretrainSettings = settingsOf(runConfigSchema);
export const finetuneSettings = settingsOf(finetuneConfigSchema);

/** Every setting of a pre-training run. */
export const configFields = pretrainSettings.fields;
