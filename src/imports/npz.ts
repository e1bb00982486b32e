import { LxmertError } from '../errors.js';
import type { NumpyArray } from '../formats/numpy.js';
import { readNpy } from '../formats/npy.js';
import { itemsOf } from '../formats/numpyPickle.js';
import { PickleFault } from '../formats/pickle.js';
import type { PickleValue } from '../formats/pickle.js';
import { shown } from '../formats/shown.js';
import { readZipDirectory, readZipEntry } from '../formats/zip.js';
import type { ZipSource } from '../formats/zip.js';
import type { Row } from './rowFields.js';

/**
 * The arrays of an npz that this program reads. Others are ignored, for example `allow_pickle`, which numpy writes by
 * mistake.
 */
const known = new Set(
  (
    'x features bbox boxes norm_bb num_bbox num_boxes image_h image_w img_h img_w conf soft_labels info cls_prob ' +
    'objects_id objects_conf attrs_id attrs_conf objects obj_id obj_conf attr_id attr_conf'
  ).split(' '),
);
/** The largest array that is read. No image has one of this size. */
const LARGEST_ARRAY = 2 ** 30;

/** A reader of zip files for bytes in memory. */
const zipInMemory = (bytes: Uint8Array, path: string): ZipSource => ({
  path,
  size: bytes.length,
  read: async (position, length) => {
    if (position < 0 || position + length > bytes.length)
      throw new LxmertError(
        'BAD_DATA',
        `${path}: has ${bytes.length} bytes; bytes ${position} to ${position + length} were expected`,
      );
    // `slice` of a Buffer would not copy.
    return Uint8Array.from(bytes.subarray(position, position + length));
  },
});

/** The arrays of an npz by name; those of its `info` dict are among them. @throws BAD_DATA naming the array */
export async function readNpz(bytes: Uint8Array, place: string): Promise<Row> {
  const file = zipInMemory(bytes, place);
  const row = new Map<string, PickleValue>();
  for (const entry of (await readZipDirectory(file)).values()) {
    const name = entry.name.replace(/\.npy$/, '');
    if (!known.has(name)) continue;
    if (entry.size > LARGEST_ARRAY)
      throw new LxmertError('BAD_DATA', `${place}: ${shown(name)} claims ${entry.size} bytes`);
    const array = readNpy(await readZipEntry(file, entry, true), `${place}: ${name}`);
    if (name === 'info') for (const [key, value] of infoOf(array, place)) row.set(key, value);
    else row.set(name, array);
  }
  return row;
}

/** The dict that is the only element of an array of objects. */
export function infoOf(array: NumpyArray, place: string): Row {
  const [info] = array.objects ?? [];
  if (array.objects?.length !== 1)
    throw new LxmertError('BAD_DATA', `${place}: info is no dict in an array of objects`);
  try {
    return itemsOf(info, 'info');
  } catch (error) {
    if (error instanceof PickleFault) throw new LxmertError('BAD_DATA', `${place}: ${error.message}`, { cause: error });
    throw error;
  }
}
