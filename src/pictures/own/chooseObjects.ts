import type { LxmertError } from '../../errors.js';
import { demandEnough } from '../counts.js';
import type { ObjectCounts } from '../counts.js';
import type { Detection } from '../detection.js';

/** The numbers of an output of the graph: one row for each found object. */
export interface Found {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

export interface FoundObjects {
  readonly boxes: Found;
  readonly features: Found;
  /** One score for each object, or one score for each object and class. */
  readonly scores: Found | undefined;
  readonly classes: Found | undefined;
  readonly attributeScores: Found | undefined;
  readonly attributes: Found | undefined;
}

export interface ChooseOptions {
  readonly counts: ObjectCounts;
  /** For messages. */
  readonly picture: string;
  readonly original: { readonly width: number; readonly height: number };
  /** The factors by which boxes are multiplied to give pixels of the original picture. */
  readonly scale: { readonly x: number; readonly y: number };
  readonly wrong: (key: keyof FoundObjects, problem: string) => LxmertError;
}

/** Chooses objects by score, the best first, and clips their boxes to the picture. @throws BAD_DATA */
export function chooseObjects(
  found: FoundObjects,
  { counts, picture, original, scale, wrong }: ChooseOptions,
): Detection {
  const { boxes, features } = found;
  const all = boxes.rows;
  for (const key of Object.keys(found) as (keyof FoundObjects)[]) {
    const part = found[key];
    if (part && part.rows !== all) throw wrong(key, `has ${part.rows} rows, the boxes have ${all}`);
    const bad = part?.values.findIndex((value) => !Number.isFinite(value)) ?? -1;
    if (bad >= 0) throw wrong(key, `gives ${part!.values[bad]} at ${bad} for ${picture}; expected finite numbers`);
  }
  if (boxes.columns !== 4) throw wrong('boxes', `has ${boxes.columns} columns; expected 4: x1, y1, x2, y2`);
  const objects = bestOf(found.scores, found.classes);
  const attributes = bestOf(found.attributeScores, found.attributes);
  const rank = (row: number): number => objects.scores?.[row] ?? 1;
  const order = Array.from({ length: all }, (_, row) => row).sort((a, b) => rank(b) - rank(a) || a - b);
  const wanted = order.filter((row) => rank(row) >= counts.threshold).length;
  const rows = order.slice(0, Math.min(Math.max(wanted, counts.least), counts.most));
  demandEnough(rows.length, counts, picture);
  const width = features.columns;
  const chosen = new Float32Array(rows.length * width);
  const places = new Float32Array(rows.length * 4);
  for (const [i, row] of rows.entries()) {
    chosen.set(features.values.subarray(row * width, (row + 1) * width), i * width);
    for (let k = 0; k < 4; k++) {
      const [factor, limit] = k % 2 === 0 ? [scale.x, original.width] : [scale.y, original.height];
      places[4 * i + k] = Math.min(Math.max(boxes.values[4 * row + k] * factor, 0), limit);
    }
  }
  const ids = (of: Float32Array | undefined) => of && BigInt64Array.from(rows, (row) => BigInt(Math.round(of[row])));
  const confidences = (of: Float32Array | undefined) =>
    of && Float32Array.from(rows, (row) => Math.min(Math.max(of[row], 0), 1));
  return {
    ...original,
    ...{ boxes: places, features: chosen },
    objectIds: ids(objects.classes),
    objectConf: confidences(objects.scores),
    attrIds: ids(attributes.classes),
    attrConf: confidences(attributes.scores),
  };
}

interface Best {
  readonly classes: Float32Array | undefined;
  readonly scores: Float32Array | undefined;
}

/**
 * The class and the score of each object. From scores of all classes, [N, C], it takes the best score and its class.
 */
function bestOf(scores: Found | undefined, classes: Found | undefined): Best {
  if (!scores || scores.columns === 1) return { classes: classes?.values, scores: scores?.values };
  const [ids, best] = [new Float32Array(scores.rows), new Float32Array(scores.rows)];
  for (let row = 0; row < scores.rows; row++) {
    const of = scores.values.subarray(row * scores.columns, (row + 1) * scores.columns);
    ids[row] = of.reduce((most, value, i) => (value > of[most] ? i : most), 0);
    best[row] = of[ids[row]];
  }
  return { classes: classes?.values ?? ids, scores: best };
}
