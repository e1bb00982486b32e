import { LxmertError } from '../errors.js';
import type { RegularFile } from './regularFile.js';

/** The forms of files with tensors. */
export type TensorFileForm = 'safetensors' | 'torch' | 'tar' | 'gzip';

const headBytes = 512;

/** Files that users may give by mistake, by their first bytes, with the message. */
const mistaken: readonly (readonly [RegExp, string])[] = [
  [/^version https:\/\/git-lfs/, 'it is a Git LFS pointer, not the file itself; fetch that with `git lfs pull`'],
  [/^\s*<(!doctype|html|\?xml|head|body)/i, 'it is a web page, not the file itself; fetch the file again'],
  [/^\x89HDF/, 'it is an HDF5 file, as TensorFlow writes; use model.safetensors or pytorch_model.bin'],
  [/^7z\xbc\xaf|^\xfd7zXZ|^BZh|^\x28\xb5\x2f\xfd/, 'it is packed; unpack it first'],
  [/^\s*[{[]/, 'it is JSON text, not a file of tensors'],
];

/**
 * Recognises the form of a file by its first bytes.
 * @throws BAD_DATA for an empty file or a file of another kind; the message says what it seems to be
 */
export async function sniff(file: RegularFile): Promise<TensorFileForm> {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${file.path}: ${reason}`);
  if (file.size === 0) throw bad('the file is empty');
  const head = Buffer.from(await file.read(0, Math.min(file.size, headBytes)));
  const text = head.toString('latin1');
  // Safetensors begins with a length of eight bytes, whose upper four are 0, and a JSON header. This is checked first,
  // because the length may begin with the same bytes as another form.
  if (text.slice(4, 9) === '\0\0\0\0{') return 'safetensors';
  if (text.startsWith('PK\x03\x04') || text.startsWith('PK\x05\x06') || text.startsWith('\x80')) return 'torch';
  if (text.startsWith('\x1f\x8b')) return 'gzip';
  if (text.slice(257, 262) === 'ustar') return 'tar';
  for (const [begin, reason] of mistaken) if (begin.test(text)) throw bad(reason);
  if (text[8] === '{' || file.path.endsWith('.safetensors')) return 'safetensors';
  throw bad('it is no file of tensors that is read here; expected safetensors or a file of torch.save');
}
