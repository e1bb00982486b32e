import { LxmertError } from '../errors.js';
import { systemCode } from '../formats/fileErrors.js';
import { RegularFile } from '../formats/regularFile.js';
import { isLxmertError } from '../errors.js';

/** Largest size of such a file. The largest are indexes of models in several files, with one line for each tensor. */
const maxBytes = 64 << 20;

/** The text of a small file; undefined if it does not exist. @throws FILE_ACCESS, BAD_DATA (too large, not UTF-8) */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  let file: RegularFile;
  try {
    file = await RegularFile.open(path);
  } catch (error) {
    if (isLxmertError(error) && ['ENOENT', 'ENOTDIR'].includes(systemCode(error.cause) ?? '')) return undefined;
    throw error;
  }
  try {
    if (file.size > maxBytes)
      throw new LxmertError('BAD_DATA', `${path}: it has ${file.size} bytes; at most ${maxBytes} are read`);
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.read(0, file.size));
  } catch (error) {
    if (systemCode(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw new LxmertError('BAD_DATA', `${path}: it is not UTF-8 text`, { cause: error });
    throw error;
  } finally {
    await file.close();
  }
}
