import { describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { configFields, finetuneSettings } from '../../src/config/fields.js';
import { finetunePresets } from '../../src/config/finetuneConfig.js';
import { finetuneJsonSchema, runJsonSchema } from '../../src/config/jsonSchema.js';
import { presets } from '../../src/config/presets.js';
import { configReference, finetuneReference } from '../../src/config/reference.js';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
}

const at = (path: readonly string[], of: Schema = runJsonSchema()): Schema | undefined =>
  path.reduce<Schema | undefined>((schema, key) => schema?.properties?.[key], of);

// To update a page: npx lxmert config reference > docs/config.md; npx lxmert config reference vqa > docs/finetune-config.md
test.each([
  ['config.md', configReference],
  ['finetune-config.md', finetuneReference],
])('docs/%s agrees with the schema', async (name, reference) => {
  const page = await readFile(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  expect(page).toBe(reference());
});

test('every setting has a different flag and a description', () => {
  expect(new Set(configFields.map(({ flag }) => flag)).size).toBe(configFields.length);
  expect(configFields.filter(({ description }) => description === '')).toEqual([]);
});

describe('the JSON Schema', () => {
  test('has exactly the settings, with descriptions', () => {
    for (const { path, description, kind } of configFields) {
      expect(at(path)).toMatchObject({ description });
      if (kind === 'integer' || kind === 'number') expect(at(path)?.type).toBe(kind);
    }
    expect(at([])?.additionalProperties).toBe(false);
    expect(at(['tasks', 'weights'])?.additionalProperties).toBe(false);
  });

  test('requires no setting, and has the presets', () => {
    const required = (schema: Schema): readonly string[] => [
      ...(schema.required ?? []),
      ...Object.values(schema.properties ?? {}).flatMap(required),
    ];
    expect(required(runJsonSchema() as Schema)).toEqual([]);
    expect(at(['preset'])?.enum).toEqual(Object.keys(presets));
  });

  test('of fine-tuning has these properties, too', () => {
    const schema: Schema = finetuneJsonSchema();
    for (const { path, description } of finetuneSettings.fields)
      expect(at(path, schema)).toMatchObject({ description });
    expect(schema.required).toBeUndefined();
    expect(at(['preset'], schema)?.enum).toEqual(Object.keys(finetunePresets));
    expect(at(['tasks'], schema)).toBeUndefined();
  });

  test('also accepts a list as text with commas', () => {
    expect(at(['data', 'train'])).toMatchObject({ anyOf: [{ type: 'array' }, { type: 'string' }], default: ['train'] });
  });
});
