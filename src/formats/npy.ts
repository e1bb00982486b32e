import { LxmertError } from '../errors.js';
import { NumpyArray, numpyDtype } from './numpy.js';
import { readNumpyPickle } from './numpyPickle.js';
import { PickleFault } from './pickle.js';
import { elementCount } from './safetensorsHeader.js';
import { shown } from './shown.js';

const npyMagic = Buffer.from([0x93, ...Buffer.from('NUMPY')]);

/**
 * Reads an npy file. Its header is a Python dict with three known keys. A regular expression reads the header, and no
 * Python code is evaluated. If the array has objects, the file contains them as a pickle.
 * @param place for messages: the file, and for an archive also the name in the archive
 * @throws BAD_DATA
 */
export function readNpy(file: Uint8Array, place: string): NumpyArray {
  const bad = (reason: string, cause?: unknown) => new LxmertError('BAD_DATA', `${place}: ${reason}`, { cause });
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 10 || !bytes.subarray(0, 6).equals(npyMagic))
    throw bad('is no npy file: its first bytes are others');
  const major = bytes[6];
  if (major < 1 || major > 3) throw bad(`has the npy version ${major}; 1 to 3 are read`);
  const lengthBytes = major === 1 ? 2 : 4;
  const length = bytes.readUIntLE(8, lengthBytes);
  const start = 8 + lengthBytes + length;
  if (start > bytes.length) throw bad('ends inside of its header');
  const header = bytes.toString('latin1', 8 + lengthBytes, start).trim();
  const found =
    /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d\s,]*)\),?\s*\}$/.exec(header);
  if (!found) throw bad(`has the header ${shown(header)}, which is not what numpy writes; it was not evaluated`);
  const [, descr, fortran, sizes] = found;
  const dtype = numpyDtype(descr);
  if (!dtype) throw bad(`has the numpy type ${shown(descr)}, which is not read here`);
  const shape = sizes
    .split(',')
    .map((size) => size.trim())
    .filter(Boolean)
    .map(Number);
  const count = elementCount(shape);
  const array = new NumpyArray(dtype);
  array.shape = shape;
  array.fortran = fortran === 'True';
  const data = bytes.subarray(start);
  if (dtype.letter === 'O') {
    try {
      const value = readNumpyPickle(data);
      if (!(value instanceof NumpyArray) || value.objects === undefined || value.count !== count)
        throw new PickleFault('an array of objects is none');
      return value;
    } catch (error) {
      throw error instanceof PickleFault ? bad(error.message, error) : error;
    }
  }
  if (!Number.isSafeInteger(count * dtype.bytes) || count * dtype.bytes !== data.length)
    throw bad(
      `has ${data.length} bytes of numbers, the shape (${shape.join(', ')}) of ${dtype.name} needs ` +
        `${Number.isNaN(count) ? 'more than can be counted' : count * dtype.bytes}; is it cut short?`,
    );
  array.bytes = data;
  return array;
}
