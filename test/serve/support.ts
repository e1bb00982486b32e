import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extractFeatures } from '../../src/pictures/extract/extract.js';
import { renderSvg } from '../../src/pictures/index.js';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { smallModel } from '../finetune/questionScenes.js';
import { writeSceneDetector } from '../pictures/sceneDetector.js';

/** Scenes drawn as PNG, their detector, and a small model that was trained on what the detector found. */
export interface ServedScenes {
  readonly folder: string;
  /** Data folder; the features of its pictures are those of the detector. */
  readonly data: string;
  readonly detector: string;
  /** A run with an answer head and a matching head. */
  readonly run: string;
  /** A picture file of a scene. */
  readonly picture: string;
  remove(): void;
}

export async function servedScenes(): Promise<ServedScenes> {
  const folder = mkdtempSync(join(tmpdir(), 'lxmert-serve-'));
  const [data, run] = ['scenes', 'run'].map((name) => join(folder, name));
  const detector = writeSceneDetector(folder);
  await writeScenes({ out: data, images: 24, pictures: 24, render: renderSvg, seed: 5 });
  let yaml = readFileSync(join(data, 'data.yaml'), 'utf8');
  for (const split of ['train', 'valid']) {
    const store = join(folder, `${split}.store`);
    await extractFeatures([join(data, `pictures/scene_${split}_*.png`)], store, { detector, workers: 0 });
    yaml = yaml.replaceAll(`${split}.tsv`, store);
  }
  writeFileSync(join(data, 'data.yaml'), yaml);
  const flags = {
    ...{ data, out: run, train: 'train', valid: 'none', 'max-steps': '30', 'batch-size': '16', lr: '3e-3' },
    ...{ device: 'cpu', threads: '1', workers: '0', seed: '1' },
  };
  await pretrain({ sources: { preset: 'tiny', flags: { ...smallModel, ...flags } } }, pretrainParts);
  return {
    ...{ folder, data, detector, run, picture: join(data, 'pictures/scene_valid_00000000.png') },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
