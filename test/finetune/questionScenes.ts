import { writeScenes } from '../../src/scenes/index.js';

/** Writes scenes with their questions in the formats of VQA and NLVR2, without pictures. */
export async function questionScenes(folder: string, images: number, seed = 1): Promise<string> {
  await writeScenes({ out: folder, images, seed, pictures: 0 });
  return folder;
}

/** Flags of a model with a few thousand parameters. */
export const smallModel = {
  'hidden-size': '24',
  'num-attention-heads': '2',
  'intermediate-size': '32',
  'l-layers': '1',
  'r-layers': '1',
  'x-layers': '2',
  'max-position-embeddings': '32',
} as const;
