import { z } from 'zod';
import { presetNames } from './presets.js';
import { runConfigSchema } from './runConfig.js';

/**
 * JSON Schema (draft 2020-12) of a YAML file that describes a run, for editors: every setting may be left out, a list
 * may be written `a,b`, and `preset` names a starting point.
 */
export function runJsonSchema(): object {
  const schema = z.toJSONSchema(runConfigSchema, {
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
  const preset = { description: 'starting point; settings that are given override it', enum: presetNames };
  return { title: 'A run of lxmert pretrain', ...schema, properties: { preset, ...schema.properties } };
}
