import type { PictureFile } from '../formats/pictureFile.js';
import type { PictureView } from '../report/sampleView.js';
import { paintedObject } from '../scenes/index.js';
import { html, trusted, type Html } from './html.js';

/** The size of the drawing. Without a picture file, boxes are drawn in a frame of this width and height. */
const frame = { width: 400, height: 300 } as const;

export interface PictureOptions {
  readonly file: PictureFile | undefined;
  /** Whether the objects are those of a synthetic scene. Without a file, they are then drawn as shapes. */
  readonly scene: boolean;
  /** Names of object classes, by number. A class without a name is shown as its number. */
  readonly classNames?: readonly string[] | undefined;
}

/** A picture of the objects: as boxes over the picture file, as shapes of a scene, or as boxes in an empty frame. */
export function picture({ id, boxes, objects, attributes }: PictureView, options: PictureOptions): Html {
  const { file, scene, classNames } = options;
  const { width } = frame;
  const height = file ? (width * file.height) / file.width : frame.height;
  const scaled = boxes.map(([x0, y0, x1, y1]) => [x0 * width, y0 * height, x1 * width, y1 * height] as const);
  const classOf = (i: number): string => classNames?.[objects[i]] ?? `class ${objects[i]}`;
  const painted = scene && !file ? scaled.map((box, i) => paintedObject(objects[i], attributes[i], box)) : [];
  const outlined = painted.length === 0 || painted.some((one) => one === undefined);
  const what = `picture ${id} with ${boxes.length} ${boxes.length === 1 ? 'object' : 'objects'}`;
  return html`<svg viewBox="0 0 ${width} ${height.toFixed(1)}" role="img" aria-label="${what}">
    ${file && html`<image href="${file.url}" width="${width}" height="${height.toFixed(1)}" preserveAspectRatio="none" />`}
    ${outlined ? [] : painted.map((one) => trusted(one ?? ''))}
    ${
      outlined
        ? scaled.map(
            ([x0, y0, x1, y1], i) =>
              html`<rect
                x="${x0.toFixed(1)}"
                y="${y0.toFixed(1)}"
                width="${Math.max(0, x1 - x0).toFixed(1)}"
                height="${Math.max(0, y1 - y0).toFixed(1)}"
                fill="none"
                stroke="var(--line-${i % 8})"
                stroke-width="1.5"
                ><title>${classOf(i)}</title></rect
              >`,
          )
        : []
    }
  </svg>`;
}
