/** A kind of file that is not UTF-8 text. */
interface ForeignKind {
  /** What the file is, for a message "FILE: is …". */
  readonly name: string;
  /** A sentence that says what the user can do. */
  readonly advice: string;
}

const unpack = (how: string) => `Unpack it first (${how})`;
const otherForm = 'Give a text file instead';

/** Bytes that files of a kind have at their beginning, or at the position `at`. */
const signatures: readonly (ForeignKind & { readonly bytes: readonly number[]; readonly at?: number })[] = [
  { bytes: [0x1f, 0x8b], name: 'packed by gzip', advice: unpack('gunzip') },
  { bytes: [0x50, 0x4b, 0x03, 0x04], name: 'a zip archive', advice: unpack('unzip') },
  { bytes: [0x50, 0x4b, 0x05, 0x06], name: 'an empty zip archive', advice: otherForm },
  { bytes: [0x50, 0x4b, 0x07, 0x08], name: 'a part of a zip archive', advice: unpack('unzip') },
  { bytes: [0x42, 0x5a, 0x68], name: 'packed by bzip2', advice: unpack('bunzip2') },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], name: 'packed by xz', advice: unpack('unxz') },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], name: 'packed by zstd', advice: unpack('unzstd') },
  { bytes: [0x04, 0x22, 0x4d, 0x18], name: 'packed by lz4', advice: unpack('unlz4') },
  { bytes: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], name: 'a 7z archive', advice: unpack('7z x') },
  { bytes: [...Buffer.from('Rar!')], name: 'a RAR archive', advice: unpack('unrar') },
  { bytes: [...Buffer.from('ustar')], at: 257, name: 'a tar archive', advice: unpack('tar -x') },
  { bytes: [0x89, 0x48, 0x44, 0x46], name: 'an HDF5 file', advice: otherForm },
  { bytes: [0x93, ...Buffer.from('NUMPY')], name: 'a numpy array (npy)', advice: otherForm },
  { bytes: [0xde, 0xc0, 0xef, 0xbe], at: 16, name: 'an LMDB database', advice: otherForm },
  { bytes: [...Buffer.from('SQLite format 3')], name: 'an SQLite database', advice: otherForm },
  { bytes: [...Buffer.from('ARROW1')], name: 'an Arrow file', advice: otherForm },
  { bytes: [...Buffer.from('PAR1')], name: 'a Parquet file', advice: otherForm },
  { bytes: [...Buffer.from('%PDF')], name: 'a PDF document', advice: otherForm },
  { bytes: [0x89, 0x50, 0x4e, 0x47], name: 'a PNG picture', advice: otherForm },
  { bytes: [0xff, 0xd8, 0xff], name: 'a JPEG picture', advice: otherForm },
  ...[2, 3, 4, 5].map((protocol) => ({ bytes: [0x80, protocol], name: 'a Python pickle', advice: otherForm })),
];

const utf16: ForeignKind = { name: 'UTF-16 text', advice: 'Save it as UTF-8' };
const utf32: ForeignKind = { name: 'UTF-32 text', advice: 'Save it as UTF-8' };
const pointer = 'the file itself has not been downloaded yet';

/**
 * Recognises a file that cannot be the expected UTF-8 text, by its first bytes (300 are enough); undefined if it may be
 * text.
 */
export function foreignKind(head: Buffer): ForeignKind | undefined {
  const found = signatures.find(({ bytes, at = 0 }) => bytes.every((byte, i) => head[at + i] === byte));
  return found ?? wideText(head) ?? foreignText(head.toString('latin1', 0, 300));
}

/** Recognises UTF-16 and UTF-32 by their byte order marks, or by zero bytes between the first characters. */
function wideText(head: Buffer): ForeignKind | undefined {
  const [a, b, c, d] = head;
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? utf32 : utf16;
  if (a === 0xfe && b === 0xff) return utf16;
  if (a === 0 && b === 0 && c === 0xfe && d === 0xff) return utf32;
  const start = head.subarray(0, 16);
  if (start.length < 16) return undefined;
  if (start.every((byte) => byte === 0)) {
    return { name: 'full of zero bytes', advice: 'The download probably did not end; fetch it again' };
  }
  const zeros = (from: number) => start.every((byte, i) => (byte === 0) === (i % 2 === from));
  return zeros(0) || zeros(1) ? utf16 : undefined;
}

/** Recognises text that is not the expected file: a Git LFS or git-annex pointer, or a web page. */
function foreignText(text: string): ForeignKind | undefined {
  const begin = text.replace(/^\xef\xbb\xbf/, '').trimStart();
  if (begin.startsWith('version https://git-lfs.github.com/spec/')) {
    return { name: 'a Git LFS pointer', advice: `Run git lfs pull: ${pointer}` };
  }
  if (/^\S*\.?\/?annex\/objects\/\S+\s*$/.test(begin)) {
    return { name: 'a git-annex pointer', advice: `Run git annex get: ${pointer}` };
  }
  if (/^<(!doctype|html|head|body|script|\?xml|!--)/i.test(begin)) {
    return { name: 'an HTML or XML page', advice: 'A page was saved instead of the file; download the file itself' };
  }
  return undefined;
}
