/**
 * Writes large feature files in the forms that the import reads. The files contain a few images, which are repeated
 * with different ids.
 */
import { once } from 'node:events';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib';

const [OBJECTS, DIM, KINDS] = [36, 2048, 8];

/** A number from 0 to 1 for each call. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const bytesOf = (values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
const base64 = (values) => bytesOf(values).toString('base64');
export const idOf = (image) => `COCO_train2014_${String(image).padStart(12, '0')}`;

/** Images like those of a detector: a third of the feature values are zero. */
export function kindsOfImages(dim = DIM, objects = OBJECTS) {
  return Array.from({ length: KINDS }, (_, kind) => {
    const random = randomOf(kind + 1);
    return {
      features: Float32Array.from({ length: objects * dim }, () => Math.max(0, 3 * random() - 1)),
      boxes: Float32Array.from({ length: 4 * objects }, (_, i) => (i % 4 < 2 ? 0 : 300) + Math.round(100 * random())),
      ids: BigInt64Array.from({ length: objects }, () => BigInt(Math.floor(400 * random()))),
      confs: Float32Array.from({ length: objects }, random),
      objects,
    };
  });
}

/** The columns of a TSV after the id. */
const columnsOf = ({ features, boxes, ids, confs, objects }) =>
  Buffer.from(
    `\t480\t640\t${base64(ids)}\t${base64(confs)}\t${base64(ids)}\t${base64(confs)}\t${objects}\t${base64(boxes)}\t${base64(features)}\n`,
  );

/** Writes pieces until there are `bytes` bytes. @returns the number of images */
async function writeUntil(path, bytes, pieceOf, end = []) {
  const file = createWriteStream(path);
  let [written, image] = [0, 0];
  for (; written < bytes; image++)
    for (const piece of pieceOf(image)) {
      written += piece.length;
      if (!file.write(piece)) await once(file, 'drain');
    }
  for (const piece of typeof end === 'function' ? end(image) : end) file.write(piece);
  file.end();
  await once(file, 'finish');
  return image;
}

export function writeTsv(path, bytes) {
  const columns = kindsOfImages().map(columnsOf);
  return writeUntil(path, bytes, (image) => [Buffer.from(idOf(image)), columns[image % KINDS]]);
}

export async function writeSmallTsv(path, images) {
  const columns = kindsOfImages(32, 3).map(columnsOf);
  const file = createWriteStream(path);
  for (let image = 0; image < images; image++)
    if (!file.write(Buffer.concat([Buffer.from(idOf(image)), columns[image % KINDS]]))) await once(file, 'drain');
  file.end();
  await once(file, 'finish');
}

/** a gzip file may consist of several members */
export function writeGzip(path, bytes) {
  const columns = kindsOfImages().map((kind) => gzipSync(columnsOf(kind), { level: 1 }));
  return writeUntil(path, bytes, (image) => [gzipSync(idOf(image), { level: 1 }), columns[image % KINDS]]);
}

/**
 * A zip with one deflated TSV of less than 4 GB. Deflated pieces can be joined, because each of them ends at a byte.
 */
export async function writeZip(path, bytes) {
  const deflated = (text) => deflateRawSync(text, { level: 1, finishFlush: constants.Z_FULL_FLUSH });
  const texts = kindsOfImages().map(columnsOf);
  const columns = texts.map(deflated);
  const name = Buffer.from('features/train2014_obj36.tsv');
  let [crc, size, packed] = [0, 0, 0];
  /** these flags mean that checksum and sizes follow the data */
  const header = (signature, more) => {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(more.crc, 10);
    common.writeUInt32LE(more.packed, 14);
    common.writeUInt32LE(more.size, 18);
    common.writeUInt16LE(name.length, 22);
    return [Buffer.from(signature, 'latin1'), common];
  };
  const begin = [...header('PK\x03\x04', { crc: 0, packed: 0, size: 0 }), name];
  const last = deflateRawSync('');
  const end = () => {
    packed += last.length;
    const sums = Buffer.alloc(16);
    sums.write('PK\x07\x08', 'latin1');
    [crc, packed, size].forEach((value, i) => sums.writeUInt32LE(value, 4 + 4 * i));
    const entry = [...header('PK\x01\x02\x14\x00', { crc, packed, size }), Buffer.alloc(14), name];
    const from = 30 + name.length + packed + 16;
    const length = entry.reduce((sum, piece) => sum + piece.length, 0);
    const tail = Buffer.alloc(22);
    tail.write('PK\x05\x06', 'latin1');
    [1, 1].forEach((count, i) => tail.writeUInt16LE(count, 8 + 2 * i));
    [length, from].forEach((value, i) => tail.writeUInt32LE(value, 12 + 4 * i));
    return [last, sums, ...entry, tail];
  };
  return writeUntil(
    path,
    bytes,
    (image) => {
      const id = Buffer.from(idOf(image));
      const text = texts[image % KINDS];
      crc = crc32(text, crc32(id, crc));
      size += id.length + text.length;
      const pieces = [deflated(id), columns[image % KINDS]];
      packed += pieces.reduce((sum, piece) => sum + piece.length, 0);
      return image === 0 ? [...begin, ...pieces] : pieces;
    },
    end,
  );
}

/** An array in the form in which numpy saves it. */
function npy(descr, shape, values) {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const header = `${text.padEnd(Math.ceil((11 + text.length) / 64) * 64 - 11)}\n`;
  const size = Buffer.alloc(2);
  size.writeUInt16LE(header.length);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), size, Buffer.from(header), bytesOf(values)]);
}

/** A zip of stored files. */
function storedZip(files) {
  const [bodies, entries] = [[], []];
  let at = 0;
  for (const [name, bytes] of files) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    [crc32(bytes), bytes.length, bytes.length].forEach((value, i) => common.writeUInt32LE(value, 10 + 4 * i));
    common.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    bodies.push(Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), bytes);
    entries.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, rest, Buffer.from(name)]));
    at += 30 + name.length + bytes.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  [files.length, files.length].forEach((count, i) => end.writeUInt16LE(count, 8 + 2 * i));
  [directory.length, at].forEach((value, i) => end.writeUInt32LE(value, 12 + 4 * i));
  return Buffer.concat([...bodies, directory, end]);
}

/** A folder of npz files. */
export async function writeNpzFolder(path, bytes) {
  mkdirSync(path);
  const files = kindsOfImages().map(({ features, boxes, objects }) =>
    storedZip([
      ['x.npy', npy('<f4', [objects, features.length / objects], features)],
      ['bbox.npy', npy('<f4', [objects, 4], boxes)],
      ['num_bbox.npy', npy('<i8', [1], BigInt64Array.of(BigInt(objects)))],
      ['image_h.npy', npy('<i8', [1], BigInt64Array.of(480n))],
      ['image_w.npy', npy('<i8', [1], BigInt64Array.of(640n))],
    ]),
  );
  let image = 0;
  for (let written = 0; written < bytes; written += files[image % KINDS].length, image++)
    writeFileSync(join(path, `${idOf(image)}.npz`), files[image % KINDS]);
  return image;
}

/** Sentences of some images, in the form that pre-training reads, from a list of invented words. */
export async function writeSentences(path, { images, sentencesPerImage }) {
  const random = randomOf(7);
  const letters = 'etaoinshrdlu';
  const words = Array.from({ length: 20_000 }, (_, i) =>
    i < 4000
      ? ['man', 'dog', 'red', 'table', 'street', 'sitting', 'on', 'the', 'a', 'near'][i % 10]
      : Array.from({ length: 3 + Math.floor(5 * random()) }, () => letters[Math.floor(letters.length * random())]).join(
          '',
        ),
  );
  const file = createWriteStream(path);
  file.write('[');
  for (let image = 0; image < images; image++) {
    const sentences = Array.from({ length: sentencesPerImage }, () =>
      Array.from({ length: 6 + Math.floor(6 * random()) }, () => words[Math.floor(words.length * random() ** 2)]).join(
        ' ',
      ),
    );
    const text = `${image === 0 ? '' : ',\n'}${JSON.stringify({ img_id: idOf(image), sentf: { mscoco: sentences } })}`;
    if (!file.write(text)) await once(file, 'drain');
  }
  file.write(']\n');
  file.end();
  await once(file, 'finish');
}
