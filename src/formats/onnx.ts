import protobuf from 'protobufjs/light.js';
import { LxmertError } from '../errors.js';
import { RegularFile } from './regularFile.js';
import { shown } from './shown.js';

/** The element types of tensors that can be written. */
export type OnnxValues = Float32Array | BigInt64Array;

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

export interface OnnxModel {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
}

/** The version of ONNX's operators, and the version of the file format that belongs to it. */
const opset = 18;
const irVersion = 8;

const elementTypes = { float32: 1, int64: 7 } as const;
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
const [modelType, metadataType, entryType] = ['Model', 'Metadata', 'Entry'].map((name) => schema.lookupType(name));

/**
 * Encodes a `.onnx` file without metadata. The bytes of `encodeOnnxMetadata` must be written before these bytes. Protobuf
 * allows fields in any order, and with this order the metadata can be read without the weights.
 */
export function encodeOnnx({ name, nodes, weights, inputs, outputs }: OnnxModel): Uint8Array {
  const graph = {
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
      dataType: elementTypes[tensor.values instanceof Float32Array ? 'float32' : 'int64'],
      name: tensor.name,
      rawData: new Uint8Array(tensor.values.buffer, tensor.values.byteOffset, tensor.values.byteLength),
    })),
    input: inputs.map(encodePort),
    output: outputs.map(encodePort),
  };
  const model = { irVersion, producerName: 'lxmert', graph, opsetImport: [{ domain: '', version: opset }] };
  return modelType.encode(model).finish();
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
