#!/usr/bin/env node
// Makes pre-training data from your own captions: reads MS COCO's captions_*.json and writes the original's pre-training
// JSON, a feature TSV and a data.yaml. The features are random (seeded noise), so a model can learn only words from them.
// Replace the feature TSV by one of your detector.
//
// usage: node examples/coco-captions.mjs captions_val2017.json OUT [featureDim]
//        npx lxmert pretrain --data OUT --out runs/coco --preset tiny --tasks maskedLm --max-steps 2000
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [captionsFile, out, featureDim = '128'] = process.argv.slice(2);
const width = Number(featureDim);
if (!captionsFile || !out || !existsSync(captionsFile) || !Number.isInteger(width) || width < 1) {
  console.error('usage: node examples/coco-captions.mjs captions_val2017.json OUT [featureDim]');
  process.exit(2);
}
const objectsPerImage = 4;

const { images, annotations } = JSON.parse(readFileSync(captionsFile, 'utf8'));
const captions = new Map(images.map(({ id }) => [id, []]));
for (const { image_id: id, caption } of annotations) captions.get(id)?.push(caption.trim());

let state = 1;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state + 0.5) / 2 ** 32;
};
const base64 = (array) => Buffer.from(array.buffer).toString('base64');

mkdirSync(out, { recursive: true });
const splits = { train: images.filter((_, i) => i % 20 !== 0), valid: images.filter((_, i) => i % 20 === 0) };
for (const [split, members] of Object.entries(splits)) {
  const sentences = members.map(({ id }) => ({ img_id: String(id), sentf: { mscoco: captions.get(id) }, labelf: {} }));
  writeFileSync(join(out, `${split}.json`), JSON.stringify(sentences));
  const lines = members.map(({ id, width: w, height: h }) => {
    const boxes = new Float32Array(4 * objectsPerImage);
    for (let i = 0; i < objectsPerImage; i++) {
      const [x, y] = [uniform() * 0.5 * w, uniform() * 0.5 * h];
      boxes.set([x, y, x + 0.49 * w, y + 0.49 * h], 4 * i);
    }
    const ids = BigInt64Array.from({ length: objectsPerImage }, () => BigInt(Math.floor(uniform() * 100)));
    const confs = Float32Array.from({ length: objectsPerImage }, uniform);
    const features = Float32Array.from({ length: objectsPerImage * width }, uniform);
    return [
      id,
      h,
      w,
      base64(ids),
      base64(confs),
      base64(ids),
      base64(confs),
      objectsPerImage,
      base64(boxes),
      base64(features),
    ];
  });
  writeFileSync(join(out, `${split}.tsv`), lines.map((line) => `${line.join('\t')}\n`).join(''));
}
writeFileSync(
  join(out, 'data.yaml'),
  'splits:\n  train: { features: train.tsv, sentences: train.json }\n  valid: { features: valid.tsv, sentences: valid.json }\n' +
    'objectLabels: 100\nattributeLabels: 100\n',
);
