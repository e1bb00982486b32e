/** The form of a feature store on disk: names, manifest, fields of an image. docs/features.md describes it for users. */
import { z } from 'zod';
import { LxmertError } from '../../errors.js';
import { readJson } from '../../formats/json.js';

export const manifestFile = 'manifest.json';
export const indexFile = 'index.safetensors';
export const shardFile = (shard: number): string => `shard-${String(shard).padStart(5, '0')}.safetensors`;

/** The value of `form` in a manifest. It shows that the manifest belongs to a feature store of lxmert. */
const formName = 'lxmert-features';
/** The version of the form. Increase it after a change with which older releases cannot read a new store. */
const version = 1;

export const storeDtypes = ['float16', 'float32'] as const;
export type StoreDtype = (typeof storeDtypes)[number];

/** The bits of `fields` in the index: the values that an image has in addition to boxes and features. */
export const fieldBits = {
  object_ids: 1,
  object_confs: 2,
  attr_ids: 4,
  attr_confs: 8,
  /** Width and height of the picture. */
  size: 16,
  /** Boxes are shares of the picture, not pixels. */
  shares: 32,
} as const;

export type FieldName = Exclude<keyof typeof fieldBits, 'shares'>;

/** The names of the fields in messages. */
export const fieldNames: Readonly<Record<FieldName, string>> = {
  object_ids: 'object classes',
  object_confs: 'object confidences',
  attr_ids: 'attribute classes',
  attr_confs: 'attribute confidences',
  size: 'picture sizes',
};

export const storeFields = Object.keys(fieldNames) as FieldName[];

const count = z.number().int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const fileName = z.string().regex(/^[\w.-]+\.safetensors$/, 'expected the name of a safetensors file in this folder');

const storedFile = z.object({ file: fileName, bytes: count, sha256 });

const manifestSchema = z.object({
  form: z.literal(formName),
  version: z.literal(version),
  images: count,
  objects: count,
  featureDim: z.number().int().min(1),
  dtype: z.enum(storeDtypes),
  /** The number of images that have each field. */
  has: z.object({ object_ids: count, object_confs: count, attr_ids: count, attr_confs: count, size: count }),
  /** The number of images whose boxes are shares of the picture. */
  boxesAsShares: count,
  objectLabels: z.number().int().min(1),
  attributeLabels: z.number().int().min(1),
  sources: z.array(z.object({ form: z.string(), files: z.array(z.object({ name: z.string(), bytes: count })) })),
  skipped: z.array(z.object({ place: z.string(), image: z.string().optional(), reason: z.string() })),
  index: storedFile,
  shards: z.array(storedFile.extend({ images: count, objects: count })),
});

/** The contents of `manifest.json`. */
export type StoreManifest = Readonly<z.infer<typeof manifestSchema>>;

/** One input of a store: the form's name, and the names and sizes of its files. */
export type StoreSource = StoreManifest['sources'][number];
/** A record that was left out, and the reason. */
export type SkippedRecord = StoreManifest['skipped'][number];
export type StoredShard = StoreManifest['shards'][number];

export const manifestOf = (contents: Omit<StoreManifest, 'form' | 'version'>): StoreManifest => ({
  form: formName,
  version,
  ...contents,
});

/** @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming the key */
export async function readStoreManifest(path: string): Promise<StoreManifest> {
  const found = await readJson(path, "a feature store's manifest");
  const head = z.object({ form: z.string(), version: z.number() }).safeParse(found);
  if (!head.success || head.data.form !== formName)
    throw new LxmertError('BAD_DATA', `${path}: is no manifest of a feature store: expected "form": "${formName}"`);
  if (head.data.version > version)
    throw new LxmertError(
      'BAD_DATA',
      `${path}: has the version ${head.data.version}; this lxmert reads ${version}. Install a newer lxmert`,
    );
  const parsed = manifestSchema.safeParse(found);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new LxmertError('BAD_DATA', `${path}: ${issue.path.join('.') || 'the file'}: ${issue.message}`);
}
