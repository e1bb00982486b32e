import { z } from 'zod';
import { finetuneConfigSchema, finetunePresets } from './finetuneConfig.js';
import { presetNames } from './presets.js';
import { runConfigSchema } from './runConfig.js';

/**
 * JSON Schema (draft 2020-12) of a YAML file that describes a run, for editors. Every setting is optional. A list may
 * have the form `a,b`. The key `preset` names a preset.
 */
export const runJsonSchema = (): object => jsonSchema(runConfigSchema, presetNames, 'A run of lxmert pretrain');

/** JSON Schema of a fine-tuning run. The command line gives the task, so the file may leave it out. */
export function finetuneJsonSchema(): object {
  const { required: _, ...schema } = jsonSchema(
    finetuneConfigSchema,
    Object.keys(finetunePresets),
    'A run of lxmert finetune',
  );
  return schema;
}

function jsonSchema(described: z.ZodType, presets: readonly string[], title: string): z.core.JSONSchema.JSONSchema {
  const schema = z.toJSONSchema(described, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      if (!(zodSchema instanceof z.ZodArray)) return;
      const { items = {}, minItems } = jsonSchema;
      const list = { type: 'array' as const, items, ...(minItems === undefined ? {} : { minItems }) };
      delete jsonSchema.type;
      delete jsonSchema.items;
      delete jsonSchema.minItems;
      jsonSchema.anyOf = [list, { type: 'string' }];
    },
  });
  const preset = { description: 'starting point; settings that are given override it', enum: [...presets] };
  return { title, ...schema, properties: { preset, ...schema.properties } };
}
