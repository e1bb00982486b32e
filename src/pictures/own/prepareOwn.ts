import { LxmertError } from '../../errors.js';
import type { PreparedPicture } from '../detection.js';
import { decodePicture } from '../input/decode.js';
import type { PictureSource } from '../input/decode.js';
import { shorterSide } from '../input/prepare.js';
import { resizeAsPillow, resizeAsTorch } from '../input/resize.js';
import type { OwnSettings } from './settings.js';

/**
 * Decodes, resizes and normalises a picture as the YAML says.
 * @throws as `decodePicture`; BAD_DATA for a picture that is too narrow
 */
export async function prepareOwn(picture: PictureSource, input: OwnSettings['input']): Promise<PreparedPicture> {
  const pixels = await decodePicture(picture);
  const size = 'width' in input.size ? input.size : shorterSide(pixels, input.size.shorter, input.size.longer);
  const { width, height } = size;
  if (Math.min(width, height) < 1)
    throw new LxmertError(
      'BAD_DATA',
      `${picture.path}: a picture of ${pixels.width} × ${pixels.height} pixels is too narrow: its shorter side would be resized to 0 pixels`,
    );
  const { data } = (input.resize === 'bilinear' ? resizeAsTorch : resizeAsPillow)(pixels, { width, height });
  const cells = width * height;
  const image = new Float32Array(3 * cells);
  for (let c = 0; c < 3; c++) {
    const from = input.channels === 'rgb' ? c : 2 - c;
    const [start, step] = input.layout === 'nchw' ? [c * cells, 1] : [c, 3];
    for (let i = 0; i < cells; i++) image[start + i * step] = (data[3 * i + from] - input.mean[c]) / input.scale[c];
  }
  const original = { width: pixels.width, height: pixels.height };
  const scale = { x: pixels.width / width, y: pixels.height / height };
  return { path: picture.path, image, width, height, scale, original };
}
