import { dirname, join } from 'node:path';
import { LxmertError } from '../errors.js';
import { isThere } from '../formats/fileErrors.js';
import { Hdf5File } from '../formats/hdf5.js';
import { describeValue } from '../formats/describe.js';
import { parseJson } from '../formats/json.js';
import type { PickleValue } from '../formats/pickle.js';
import { shown } from '../formats/shown.js';
import { readText } from '../formats/text.js';
import { isRecord } from '../records.js';
import type { FormOptions, OpenedForm } from './forms.js';
import { identityOf, inputFile, sourceFile } from './inputFile.js';
import type { InputFile } from './inputFile.js';
import { checkedItems } from './records.js';
import type { PendingRecord } from './records.js';
import { recordOfRow } from './rowFields.js';
import type { NamedRecord } from './rowFields.js';

/** VL-T5's file: it has one group for each image. */
export async function openGroupsForm(file: InputFile, options: FormOptions): Promise<OpenedForm> {
  const opened = await Hdf5File.open(file.path);
  const names = opened.names();
  const isGqa = names.includes('features') && names.includes('bboxes');
  if (isGqa || names.length === 0) {
    opened.close();
    throw new LxmertError(
      'BAD_DATA',
      isGqa
        ? `${file.path}: is a part of GQA's object features; give the folder that has it and ${gqaInfo}`
        : `${file.path}: is an HDF5 file with nothing in it`,
    );
  }
  const pending = function* (): Generator<PendingRecord> {
    for (const name of names) {
      const place = `${file.path}: ${shown(name).slice(1, -1)}`;
      yield { place, image: name, read: async () => readGroup(opened, name, place) };
    }
  };
  return {
    form: 'vlt5-h5',
    source: { form: 'vlt5-h5', files: [sourceFile(file)] },
    identity: identityOf(file),
    unit: 'record',
    images: names.length,
    items: (from) => checkedItems(pending(), from?.records ?? 0, options),
    close: async () => opened.close(),
  };
}

const groupFields = ['features', 'boxes', 'obj_id', 'obj_conf', 'attr_id', 'attr_conf', 'img_w', 'img_h'];

function readGroup(file: Hdf5File, name: string, place: string): NamedRecord {
  const kind = file.kindOf(`/${name}`);
  if (kind !== 'group')
    throw new LxmertError(
      'BAD_DATA',
      `${place}: ${kind === 'link' ? 'is a link, which was not followed' : 'is no group'}`,
    );
  const row = new Map<string, PickleValue>();
  for (const field of groupFields) {
    const path = `/${name}/${field}`;
    if (file.kindOf(path) === 'nothing') continue;
    row.set(field, file.read(file.dataset(path)));
  }
  return recordOfRow(row, { id: name, place, idIsKey: true });
}

export const gqaInfo = 'gqa_objects_info.json';

/** The entry of one image in GQA's list of images. */
interface GqaPlace {
  readonly id: string;
  readonly file: number;
  readonly idx: number;
  readonly objectsNum: number;
  readonly width: number;
  readonly height: number;
}

/** GQA's official object files: HDF5 files with 100 rows for each image, and a JSON file that gives file and position of each image. */
export async function openGqaForm(given: InputFile, options: FormOptions): Promise<OpenedForm> {
  const folder = given.isFolder ? given.path : dirname(given.path);
  const infoPath = join(folder, gqaInfo);
  const places = await readGqaInfo(infoPath);
  const numbers = [...new Set(places.map(({ file }) => file))].sort((a, b) => a - b);
  const files = new Map<number, InputFile>();
  for (const number of numbers) {
    const path = join(folder, `gqa_objects_${number}.h5`);
    if (await isThere(path)) files.set(number, await inputFile(path));
  }
  const opened = new Map<number, Hdf5File>();
  const open = async (number: number): Promise<Hdf5File> => {
    const known = opened.get(number);
    if (known) return known;
    const file = await Hdf5File.open(join(folder, `gqa_objects_${number}.h5`));
    opened.set(number, file);
    return file;
  };
  const pending = function* (): Generator<PendingRecord> {
    for (const place of places) {
      const where = `${infoPath}: image ${shown(place.id)}`;
      yield {
        place: where,
        image: place.id,
        read: async () => {
          if (!files.has(place.file))
            throw new LxmertError('BAD_DATA', `${where}: its file gqa_objects_${place.file}.h5 is not there`);
          return readGqaImage(await open(place.file), place, where);
        },
      };
    }
  };
  return {
    form: 'gqa-h5',
    source: { form: 'gqa-h5', files: [sourceFile(await inputFile(infoPath)), ...[...files.values()].map(sourceFile)] },
    identity: [identityOf(await inputFile(infoPath)), ...[...files.values()].map(identityOf)],
    unit: 'record',
    images: places.length,
    items: (from) => checkedItems(pending(), from?.records ?? 0, options),
    close: async () => {
      for (const file of opened.values()) file.close();
    },
  };
}

/**
 * The images in the order of the file. A character is put before each key, because JavaScript would sort keys that are
 * numbers.
 */
async function readGqaInfo(path: string): Promise<GqaPlace[]> {
  const text = await readText(path, "GQA's list of images");
  const info = parseJson(text.replace(/"(\d+)"(\s*:)/g, '"#$1"$2'), path);
  if (!isRecord(info)) throw new LxmertError('BAD_DATA', `${path}: must be an object of images`);
  return Object.entries(info).map(([key, value]) => {
    const id = key.replace(/^#/, '');
    const number = (name: string): number => {
      const found = isRecord(value) ? value[name] : undefined;
      if (Number.isSafeInteger(found) && (found as number) >= 0) return found as number;
      throw new LxmertError(
        'BAD_DATA',
        `${path}: image ${shown(id)}: ${name} must be a whole number from 0, found ${describeValue(found)}`,
      );
    };
    return {
      id,
      ...{ file: number('file'), idx: number('idx'), objectsNum: number('objectsNum') },
      ...{ width: number('width'), height: number('height') },
    };
  });
}

function readGqaImage(file: Hdf5File, { id, idx, objectsNum, width, height }: GqaPlace, where: string): NamedRecord {
  const features = file.dataset('/features');
  const boxes = file.dataset('/bboxes');
  const [images, rows] = features.shape;
  if (features.shape.length !== 3 || boxes.shape.length !== 3 || boxes.shape[2] !== 4)
    throw new LxmertError(
      'BAD_DATA',
      `${file.path}: features and bboxes must have three axes: images, objects, numbers`,
    );
  if (idx >= images || idx >= boxes.shape[0])
    throw new LxmertError('BAD_DATA', `${where}: idx is ${idx}, but ${file.path} has ${images} images`);
  if (objectsNum < 1 || objectsNum > rows || objectsNum > boxes.shape[1])
    throw new LxmertError(
      'BAD_DATA',
      `${where}: objectsNum is ${objectsNum}, but ${file.path} has ${rows} rows an image`,
    );
  const part = (dataset: typeof features) => {
    const array = file.read(dataset, { offset: [idx, 0, 0], count: [1, objectsNum, dataset.shape[2]] });
    array.shape = array.shape.slice(1);
    return array;
  };
  const row = new Map<string, PickleValue>([
    ...([
      ['features', part(features)],
      ['bboxes', part(boxes)],
    ] as const),
    ...([
      ['image_w', width],
      ['image_h', height],
    ] as const),
  ]);
  return recordOfRow(row, { id, place: where, idIsKey: true });
}
