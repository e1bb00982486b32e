import protobuf from 'protobufjs/light.js';
import { LxmertError } from '../errors.js';
import { RegularFile } from './regularFile.js';
import { shown } from './shown.js';

/** A tensor of a layer. */
export interface CaffeBlob {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A layer that has weights. */
export interface CaffeLayer {
  readonly name: string;
  /** The type of the layer, for example `Convolution`. */
  readonly type: string;
  /** The `eps` of a batch norm. */
  readonly epsilon: number;
  readonly blobs: readonly CaffeBlob[];
}

const field = (type: string, id: number, rule?: 'repeated') => ({ type, id, ...(rule && { rule }) });

/**
 * The numbers of the fields of `NetParameter` that contain layers: in the current form of Caffe, and in the first form.
 */
const layerField = 100;
const firstLayerField = 2;

/** The `eps` of a batch norm that does not give one. */
const usualEpsilon = 1e-5;

/** The part of Caffe's caffe.proto that describes weights. `data` is a packed list of floats, and is read as bytes. */
const schema = protobuf.Root.fromJSON({
  nested: {
    Shape: { fields: { dim: field('int64', 1, 'repeated') } },
    Blob: {
      fields: {
        num: field('int32', 1),
        channels: field('int32', 2),
        height: field('int32', 3),
        width: field('int32', 4),
        data: field('bytes', 5),
        shape: field('Shape', 7),
      },
    },
    BatchNorm: { fields: { eps: { ...field('float', 3), options: { default: usualEpsilon } } } },
    Layer: {
      fields: {
        name: field('string', 1),
        type: field('string', 2),
        blobs: field('Blob', 7, 'repeated'),
        batchNormParam: field('BatchNorm', 139),
      },
    },
  },
});
const layerType = schema.lookupType('Layer');

interface BlobMessage {
  readonly num?: number;
  readonly channels?: number;
  readonly height?: number;
  readonly width?: number;
  readonly data?: Uint8Array;
  readonly shape?: { readonly dim?: readonly unknown[] };
}

interface LayerMessage {
  readonly name?: string;
  readonly type?: string;
  readonly blobs?: readonly BlobMessage[];
  readonly batchNormParam?: { readonly eps?: number };
}

/** The largest number of bytes of the tag and the length of a field. */
const tagBytes = 20;

/** The largest message that protobuf allows, in bytes. */
const maxLayerBytes = 2 ** 31 - 1;

/**
 * The layers with weights of a `.caffemodel`, which is a binary `NetParameter`. All other parts of the file are
 * ignored.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA if the file is cut short, is not a `NetParameter`, or is of Caffe's
 *   first form
 */
export async function readCaffeLayers(path: string): Promise<readonly CaffeLayer[]> {
  const file = await RegularFile.open(path);
  try {
    const layers: CaffeLayer[] = [];
    for (let at = 0; at < file.size;) {
      const reader = protobuf.Reader.create(await file.read(at, Math.min(tagBytes, file.size - at)));
      const tag = reader.uint32();
      const [id, wireType] = [tag >>> 3, tag & 7];
      if (id === 0) throw new Error('it has a field without a number');
      if (wireType !== 2) {
        reader.skipType(wireType);
        at += reader.pos;
        continue;
      }
      const length = reader.uint32();
      at += reader.pos;
      if (length > file.size - at) throw new Error(`it ends inside of a field of ${length} bytes; is it whole?`);
      if (id === firstLayerField)
        throw new Error('its layers are in the form of the first Caffe; convert it by upgrade_net_proto_binary');
      if (id === layerField && length <= maxLayerBytes) {
        const layer = layerType.decode(await file.read(at, length)) as unknown as LayerMessage;
        if (layer.blobs && layer.blobs.length > 0) layers.push(layerOf(layer));
      }
      at += length;
    }
    if (layers.length === 0) throw new Error('it has no layers with weights');
    return layers;
  } catch (error) {
    if (error instanceof LxmertError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new LxmertError('BAD_DATA', `${path}: it is no .caffemodel, or it is damaged: ${shown(reason)}`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
}

function layerOf({ name = '', type = '', blobs = [], batchNormParam }: LayerMessage): CaffeLayer {
  return { name, type, epsilon: batchNormParam?.eps ?? usualEpsilon, blobs: blobs.map((blob) => blobOf(blob, name)) };
}

function blobOf(blob: BlobMessage, layer: string): CaffeBlob {
  const { num = 0, channels = 0, height = 0, width = 0, data = new Uint8Array(0) } = blob;
  // Files of older versions have four numbers instead of a shape.
  const shape = blob.shape ? (blob.shape.dim ?? []).map(Number) : [num, channels, height, width];
  const count = shape.reduce((product, size) => product * size, 1);
  if (data.length !== 4 * count)
    throw new Error(`layer '${layer}' has ${data.length} bytes of floats for the shape [${shape.join(', ')}]`);
  const bytes = data.slice();
  return { shape, values: new Float32Array(bytes.buffer, bytes.byteOffset, count) };
}
