const mark = Buffer.of(0xef, 0xbb, 0xbf);

/** Where a text begins in the first bytes of its file: behind the byte order mark that some editors write. */
export const textStart = (bytes: Buffer): number => (bytes.subarray(0, mark.length).equals(mark) ? mark.length : 0);
