/** The objects that a detector found in a picture, with the fields of bottom-up-attention's TSV. */
export interface RegionRecord {
  readonly id: string;
  /** Size of the picture in pixels. */
  readonly width: number;
  readonly height: number;
  /** Classes, attributes and their scores: [N] each. If one of these arrays is not known, its column is empty. */
  readonly objectIds?: BigInt64Array | undefined;
  readonly objectConf?: Float32Array | undefined;
  readonly attrIds?: BigInt64Array | undefined;
  readonly attrConf?: Float32Array | undefined;
  /** x1, y1, x2, y2 in pixels: [N × 4]. */
  readonly boxes: Float32Array;
  /** [N × features]. */
  readonly features: Float32Array;
}

/** Encodes numbers in base64. The file is little-endian, like all machines on which this program runs. */
const base64 = (values: Float32Array | BigInt64Array | undefined): string =>
  values === undefined ? '' : Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

/**
 * Makes one line of the original's feature file: img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf,
 * num_boxes, boxes, features, separated by tabs. Arrays are little-endian int64 or float32 in base64.
 */
export function regionTsvLine(record: RegionRecord): string {
  const fields = [
    record.id,
    record.height,
    record.width,
    base64(record.objectIds),
    base64(record.objectConf),
    base64(record.attrIds),
    base64(record.attrConf),
    record.boxes.length / 4,
    base64(record.boxes),
    base64(record.features),
  ];
  return `${fields.join('\t')}\n`;
}
