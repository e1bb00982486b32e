import { crc32 } from 'node:zlib';
import { join } from 'node:path';
import sharp from 'sharp';

/** Width and height in pixels. */
const sizes = { landscape: [240, 180], portrait: [142, 224] } as const;

/**
 * Writes `landscape.png` and `portrait.png`: waves of many lengths with rectangles on them, so that all places of a
 * picture look different.
 */
export async function drawPictures(folder: string): Promise<Readonly<Record<keyof typeof sizes, string>>> {
  const paths = { landscape: join(folder, 'landscape.png'), portrait: join(folder, 'portrait.png') };
  for (const name of ['landscape', 'portrait'] as const) {
    const [width, height] = sizes[name];
    const pixels = Buffer.alloc(width * height * 3);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const block = (Math.floor(x / 37) * 7 + Math.floor(y / 29) * 13) % 5;
        for (let c = 0; c < 3; c++) {
          const wave = Math.sin((x * (c + 2)) / 11 + y / 23) + Math.cos((y * (c + 1)) / 7 - x / 31);
          pixels[(y * width + x) * 3 + c] = Math.round(110 + 25 * wave + 18 * ((block + c) % 5));
        }
      }
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(paths[name]);
  }
  return paths;
}

/** A zip whose files are stored without compression. */
export function storedZip(files: Readonly<Record<string, Buffer>>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), bytes]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, rest, Buffer.from(name));
    parts.push(local);
    at += local.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  const count = Object.keys(files).length;
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}
