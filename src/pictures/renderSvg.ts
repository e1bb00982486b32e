import { loadSharp } from './optionalPackages.js';

/** Draws an SVG picture as PNG. @throws UNSUPPORTED when sharp is not installed */
export async function renderSvg(svg: string): Promise<Uint8Array> {
  const sharp = await loadSharp();
  return sharp(Buffer.from(svg)).removeAlpha().png().toBuffer();
}
