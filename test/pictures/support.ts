import { join } from 'node:path';
import sharp from 'sharp';

/** Width and height in pixels. */
const sizes = { landscape: [240, 180], portrait: [142, 224] } as const;

/** Writes `landscape.png` and `portrait.png`: waves of many lengths with rectangles on them, so that no place looks like another. */
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
