import protobuf from 'protobufjs/light.js';
import { LxmertError } from '../errors.js';
import { RegularFile } from './regularFile.js';
import { shown } from './shown.js';

/** The values of a tensor: float32, the bits of float16, or int64. */
export type OnnxValues = Float32Array | Uint16Array | BigInt64Array;

/** The element types of tensors that can be written. */
export type OnnxType = 'float32' | 'float16' | 'int64';

export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly values: OnnxValues;
}

/** An attribute of a node: a whole number, a number, text, or a list of whole numbers. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly text: string }
  | { readonly ints: readonly number[] };

export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** An input or output of a graph. A size may be a text: the name of a size that can differ in each call. */
export interface OnnxPort {
  readonly name: string;
  readonly type: 'float32' | 'int64';
  readonly dims: readonly (number | string)[];
}

/** A tensor whose values are read when they are written. */
export interface OnnxStoredTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type: OnnxType;
  /** Gives the values in pieces. A piece is valid only until the next piece. */
  readonly pieces: () => AsyncIterable<OnnxValues>;
}

export interface OnnxModel {
  readonly name: string;
  /** The version of ONNX's operators; default 18. */
  readonly opset?: number | undefined;
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
}

/** The version of ONNX's operators, and the version of the file format. This format is enough for operators up to 18. */
const usualOpset = 18;
const irVersion = 8;

const elementTypes = { float32: 1, int64: 7, float16: 10 } as const;
const attributeTypes = { float: 1, int: 2, text: 3, ints: 7 } as const;

/** The fields of the metadata in `ModelProto`, and of the graph. */
const metadataField = 14;

const field = (type: string, id: number, rule?: 'repeated') => ({ type, id, ...(rule && { rule }) });

/** The part of ONNX's onnx.proto that this file writes. */
const schema = protobuf.Root.fromJSON({
  nested: {
    Entry: { fields: { key: field('string', 1), value: field('string', 2) } },
    Opset: { fields: { domain: field('string', 1), version: field('int64', 2) } },
    Dimension: {
      oneofs: { value: { oneof: ['dimValue', 'dimParam'] } },
      fields: { dimValue: field('int64', 1), dimParam: field('string', 2) },
    },
    Shape: { fields: { dim: field('Dimension', 1, 'repeated') } },
    TensorType: { fields: { elemType: field('int32', 1), shape: field('Shape', 2) } },
    PortType: { fields: { tensorType: field('TensorType', 1) } },
    Port: { fields: { name: field('string', 1), type: field('PortType', 2) } },
    Tensor: {
      fields: {
        dims: field('int64', 1, 'repeated'),
        dataType: field('int32', 2),
        name: field('string', 8),
        rawData: field('bytes', 9),
        externalData: field('Entry', 13, 'repeated'),
        dataLocation: field('int32', 14),
      },
    },
    Attribute: {
      // In a oneof, a value of 0 is written, too.
      oneofs: { value: { oneof: ['f', 'i'] } },
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        s: field('bytes', 4),
        ints: field('int64', 8, 'repeated'),
        type: field('int32', 20),
      },
    },
    Node: {
      fields: {
        input: field('string', 1, 'repeated'),
        output: field('string', 2, 'repeated'),
        name: field('string', 3),
        opType: field('string', 4),
        attribute: field('Attribute', 5, 'repeated'),
      },
    },
    Graph: {
      fields: {
        node: field('Node', 1, 'repeated'),
        name: field('string', 2),
        initializer: field('Tensor', 5, 'repeated'),
        input: field('Port', 11, 'repeated'),
        output: field('Port', 12, 'repeated'),
      },
    },
    Model: {
      fields: {
        irVersion: field('int64', 1),
        producerName: field('string', 2),
        graph: field('Graph', 7),
        opsetImport: field('Opset', 8, 'repeated'),
      },
    },
    Metadata: { fields: { entries: field('Entry', metadataField, 'repeated') } },
  },
});
const [modelType, graphType, tensorType, metadataType, entryType] = [
  'Model',
  'Graph',
  'Tensor',
  'Metadata',
  'Entry',
].map((name) => schema.lookupType(name));

/**
 * Encodes a `.onnx` file without metadata. The bytes of `encodeOnnxMetadata` must be written before these bytes. Protobuf
 * allows fields in any order, and with this order the metadata can be read without the weights.
 */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  return modelType.encode({ ...frameOf(model), graph: graphOf(model) }).finish();
}

/** Encodes the fields of a model beside its graph and its metadata. */
export const encodeOnnxFrame = (model: OnnxModel): Uint8Array => modelType.encode(frameOf(model)).finish();

/** Encodes the graph of a model, without the tag and the length before it. */
export const encodeOnnxGraph = (model: OnnxModel): Uint8Array => graphType.encode(graphOf(model)).finish();

/** Where the values of a tensor are, if they are in another file. */
export interface ExternalPlace {
  /** The name of the file, in the folder of the model. */
  readonly location: string;
  /** In bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Encodes a tensor without its values: a following field with the values completes it, if `place` is not given. */
export function encodeOnnxTensorHead({ name, dims, type }: OnnxStoredTensor, place?: ExternalPlace): Uint8Array {
  const head = { dims, dataType: elementTypes[type], name };
  if (!place) return tensorType.encode(head).finish();
  const externalData = Object.entries(place).map(([key, value]) => ({ key, value: String(value) }));
  return tensorType.encode({ ...head, externalData, dataLocation: 1 }).finish();
}

/** Numbers of fields that a program needs to write a model in pieces. */
export const onnxFields = { graph: 7, initializer: 5, rawData: 9 } as const;

/** The tag and the length before the contents of a field that is not a number. */
export const encodeFieldStart = (number: number, length: number): Uint8Array =>
  protobuf.Writer.create()
    .uint32((number << 3) | 2)
    .uint32(length)
    .finish();

const frameOf = ({ opset = usualOpset }: OnnxModel) => ({
  irVersion,
  producerName: 'lxmert',
  opsetImport: [{ domain: '', version: opset }],
});

function graphOf({ name, nodes, weights, inputs, outputs }: OnnxModel): object {
  return {
    name,
    node: nodes.map((node) => ({
      input: node.inputs,
      output: node.outputs,
      name: node.name,
      opType: node.op,
      attribute: Object.entries(node.attributes).map(([key, value]) => encodeAttribute(key, value)),
    })),
    initializer: weights.map((tensor) => ({
      dims: tensor.dims,
      dataType: elementTypes[typeOf(tensor.values)],
      name: tensor.name,
      rawData: new Uint8Array(tensor.values.buffer, tensor.values.byteOffset, tensor.values.byteLength),
    })),
    input: inputs.map(encodePort),
    output: outputs.map(encodePort),
  };
}

function typeOf(values: OnnxValues): OnnxType {
  if (values instanceof Float32Array) return 'float32';
  return values instanceof Uint16Array ? 'float16' : 'int64';
}

/** Encodes metadata, texts by key. Programs that run the graph ignore them. */
export function encodeOnnxMetadata(metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  return metadataType.encode({ entries }).finish();
}

function encodeAttribute(name: string, value: OnnxAttribute): object {
  if ('int' in value) return { name, type: attributeTypes.int, i: value.int };
  if ('float' in value) return { name, type: attributeTypes.float, f: value.float };
  if ('text' in value) return { name, type: attributeTypes.text, s: Buffer.from(value.text) };
  return { name, type: attributeTypes.ints, ints: value.ints };
}

function encodePort({ name, type, dims }: OnnxPort): object {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: elementTypes[type], shape: { dim } } } };
}

/** The tag and the length of a field need at most this many bytes. */
const tagBytes = 20;

/** Largest size of an entry of the metadata. */
const maxEntryBytes = 1 << 20;

/**
 * Reads the metadata of a `.onnx` file. It reads only the headers of the outermost fields, not the weights.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA if the file is not a protobuf message
 */
export async function readOnnxMetadata(path: string): Promise<Readonly<Record<string, string>>> {
  const file = await RegularFile.open(path);
  try {
    const found: [string, string][] = [];
    for (let at = 0; at < file.size;) {
      const reader = protobuf.Reader.create(await file.read(at, Math.min(tagBytes, file.size - at)));
      const tag = reader.uint32();
      if (tag >>> 3 === 0 || (tag & 7) !== 2) {
        if (tag >>> 3 === 0) throw new Error('it has a field without a number');
        reader.skipType(tag & 7);
        at += reader.pos;
        continue;
      }
      const length = reader.uint32();
      at += reader.pos;
      if (length > file.size - at) throw new Error(`it ends inside of a field of ${length} bytes`);
      if (tag >>> 3 === metadataField && length <= maxEntryBytes) {
        const { key, value } = entryType.toObject(entryType.decode(await file.read(at, length)), {
          defaults: true,
        }) as Record<string, string>;
        found.push([key, value]);
      }
      at += length;
    }
    return Object.fromEntries(found);
  } catch (error) {
    if (error instanceof LxmertError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new LxmertError('BAD_DATA', `${path}: it is no ONNX file, or it is damaged: ${shown(reason)}`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
}
