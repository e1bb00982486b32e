import { dirname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { decodeBase64 } from '../data/features/tsvBase64.js';
import { describeValue } from '../formats/describe.js';
import { isThere } from '../formats/fileErrors.js';
import { parseJson, readJson } from '../formats/json.js';
import { shown } from '../formats/shown.js';
import { readText } from '../formats/text.js';
import { isRecord } from '../records.js';
import { plainPart } from './byteParts.js';
import type { FormOptions, OpenedForm } from './forms.js';
import { identityOf, inputFile, sourceFile } from './inputFile.js';
import type { InputFile } from './inputFile.js';
import { linesOf } from './lines.js';
import type { Line } from './lines.js';
import { checkedItems } from './records.js';
import type { PendingRecord } from './records.js';
import type { NamedRecord } from './rowFields.js';

/** Six numbers follow each feature: x0, y0, x1, y1 and the width and height of the box, all as shares of the picture. */
const GEOMETRY = 6;
const fields = {
  ...{
    features: 'features',
    boxes: 'boxes (the columns behind the features)',
    objectIds: 'class',
    objectConfs: 'conf',
  },
  ...{ attrIds: 'attribute', attrConfs: 'attribute confidence' },
};

/**
 * VinVL's and Oscar's TSV: id, number of boxes and base64 of the features; or id and a JSON object with both. The index files
 * beside it are checked; `predictions.tsv` beside it gives picture sizes and confidences.
 */
export async function openVinvlForm(file: InputFile, options: FormOptions): Promise<OpenedForm> {
  const indexes = await readIndexes(file.path);
  const predictions = join(dirname(file.path), 'predictions.tsv');
  const predicted = (await isThere(predictions)) ? await inputFile(predictions) : undefined;
  if (predicted)
    options.onNote(
      `${predictions}: gives picture sizes and confidences; its class names are not kept, they are not Visual Genome's`,
    );
  return {
    form: 'vinvl-tsv',
    source: { form: 'vinvl-tsv', files: [file, ...(predicted ? [predicted] : [])].map(sourceFile) },
    identity: [file, ...(predicted ? [predicted] : [])].map(identityOf),
    unit: 'record',
    bytes: file.bytes,
    items: (from) => checkedItems(pendingOf(file, predicted, indexes, options), from?.records ?? 0, options),
  };
}

async function* pendingOf(
  { path }: InputFile,
  predicted: InputFile | undefined,
  indexes: Indexes,
  options: FormOptions,
): AsyncGenerator<PendingRecord, void, undefined> {
  const predictions = predicted && linesOf(plainPart(predicted.path));
  let number = 0;
  try {
    for await (const line of linesOf(plainPart(path))) {
      const place = `${path}: line ${line.line}`;
      const image = line.bytes.toString('utf8', 0, Math.max(0, line.bytes.indexOf(0x09)));
      indexes.check(number, line, image);
      number++;
      const next = await predictions?.next();
      const prediction = next?.done === false ? next.value : undefined;
      options.onBytes?.(line.bytes.length + 1);
      yield {
        place,
        image,
        read: async () => {
          const read = recordOf(line, place);
          return predicted ? withPrediction(read, prediction, predicted.path) : read;
        },
      };
    }
  } finally {
    await predictions?.return();
  }
  if (number === 0) throw new LxmertError('BAD_DATA', `${path}: no images in it`);
  indexes.finish(number);
}

function recordOf({ bytes, whole }: Line, place: string): NamedRecord {
  const cut = whole ? '' : '; the last line has no line feed: the file is probably cut off';
  const tabs: number[] = [];
  for (let at = bytes.indexOf(0x09); at >= 0 && tabs.length < 3; at = bytes.indexOf(0x09, at + 1)) tabs.push(at);
  if (tabs.length < 1 || tabs.length > 2)
    throw new LxmertError('BAD_DATA', `${place}: has ${tabs.length + 1} columns; 2 or 3 were expected${cut}`);
  const id = bytes.toString('utf8', 0, tabs[0]);
  const bad = (field: string, problem: string) =>
    new LxmertError('BAD_DATA', `${place}: ${field} ${problem}${cut} (image ${describeValue(id)})`);
  let count: unknown;
  let [start, end] = [tabs.at(-1)! + 1, bytes.length];
  let text = bytes;
  if (tabs.length === 1) {
    const row = parseJson(bytes.toString('utf8', start), place);
    if (!isRecord(row) || typeof row.features !== 'string') throw bad('features', 'is missing');
    count = row.num_boxes;
    text = Buffer.from(row.features, 'latin1');
    [start, end] = [0, text.length];
  } else count = Number(bytes.toString('latin1', tabs[0] + 1, tabs[1]).trim() || NaN);
  if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > 100_000)
    throw bad('num_boxes', `must be a whole number from 1, found ${describeValue(count)}`);
  const boxes = count as number;
  while (end > start && (text[end - 1] === 0x20 || text[end - 1] === 0x0d)) end--;
  const padding = text[end - 1] !== 0x3d ? 0 : text[end - 2] !== 0x3d ? 1 : 2;
  const size = ((end - start) / 4) * 3 - padding;
  const width = size / 4 / boxes;
  if (!Number.isInteger(width) || width <= GEOMETRY)
    throw bad('features', `has ${end - start} characters of base64, which are not the numbers of ${boxes} boxes`);
  const numbers = new Float32Array(boxes * width);
  decodeBase64(text, start, end, new Uint8Array(numbers.buffer), (problem) => bad('features', problem));
  const dim = width - GEOMETRY;
  const features = new Float32Array(boxes * dim);
  const corners = new Float32Array(boxes * 4);
  for (let i = 0; i < boxes; i++) {
    features.set(numbers.subarray(i * width, i * width + dim), i * dim);
    corners.set(numbers.subarray(i * width + dim, i * width + dim + 4), i * 4);
  }
  return { record: { id, place, count: boxes, boxes: corners, shares: true, features }, names: fields };
}

/** Adds the values of `predictions.tsv` for the image, which are on the same line number. */
function withPrediction({ record, names }: NamedRecord, line: Line | undefined, path: string): NamedRecord {
  if (!line) throw new LxmertError('BAD_DATA', `${path}: ends before image ${describeValue(record.id)}`);
  const place = `${path}: line ${line.line}`;
  const tab = line.bytes.indexOf(0x09);
  const id = line.bytes.toString('utf8', 0, Math.max(0, tab));
  if (id !== record.id)
    throw new LxmertError(
      'BAD_DATA',
      `${place}: is of image ${describeValue(id)}, the features there are of ${describeValue(record.id)}`,
    );
  const row = parseJson(line.bytes.toString('utf8', tab + 1), place);
  const bad = (field: string, problem: string) =>
    new LxmertError('BAD_DATA', `${place}: ${field} ${problem} (image ${describeValue(id)})`);
  if (!isRecord(row)) throw bad('its row', 'is no object');
  const objects = row.objects;
  if (!Array.isArray(objects) || objects.length !== record.count)
    throw bad('objects', `must have ${record.count} objects, found ${describeValue(objects)}`);
  const confs = Float32Array.from(objects, (object: unknown) => (isRecord(object) ? Number(object.conf) : NaN));
  return {
    record: { ...record, width: Number(row.image_w), height: Number(row.image_h), objectConfs: confs },
    names,
  };
}

interface Indexes {
  /** @throws BAD_DATA if an index gives another position for this line */
  check(number: number, line: Line, image: string): void;
  /** @throws BAD_DATA if an index has more or fewer lines than the file */
  finish(lines: number): void;
}

async function readIndexes(path: string): Promise<Indexes> {
  const linePath = path.replace(/\.tsv$/, '') + '.lineidx';
  const offsets = (await isThere(linePath))
    ? (await readText(linePath, 'an index of lines')).split('\n').map((line) => line.trim())
    : undefined;
  while (offsets?.at(-1) === '') offsets.pop();
  const imagePath = join(dirname(path), 'imageid2idx.json');
  const images = (await isThere(imagePath)) ? await readJson(imagePath, 'an index of images') : undefined;
  const advice = 'Fetch it again, or remove it: the import does not need it';
  if (images !== undefined && !isRecord(images))
    throw new LxmertError('BAD_DATA', `${imagePath}: must be an object of line numbers. ${advice}`);
  let found = 0;
  return {
    check: (number, { offset, line }, image) => {
      const said = offsets?.[number];
      if (offsets && said !== String(offset))
        throw new LxmertError(
          'BAD_DATA',
          `${linePath}: line ${number + 1} says ${said === undefined ? 'nothing' : shown(said)}, but line ${line} of ${path} begins at byte ${offset}. ${advice}`,
        );
      const index = images && Object.hasOwn(images, image) ? images[image] : undefined;
      if (index !== undefined) found++;
      if (images && index !== number)
        throw new LxmertError(
          'BAD_DATA',
          `${imagePath}: ${image} says ${describeValue(index)}, but the image is number ${number} of ${path} (from 0). ${advice}`,
        );
    },
    finish: (lines) => {
      if (offsets && offsets.length !== lines)
        throw new LxmertError('BAD_DATA', `${linePath}: has ${offsets.length} lines, ${path} has ${lines}. ${advice}`);
      if (images && Object.keys(images).length !== found)
        throw new LxmertError('BAD_DATA', `${imagePath}: has images that ${path} does not have. ${advice}`);
    },
  };
}
