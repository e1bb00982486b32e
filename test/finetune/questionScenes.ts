import { readFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeScenes } from '../../src/scenes/index.js';

interface SceneText {
  readonly img_id: string;
  readonly sentf: { readonly captions: readonly string[]; readonly vqa: readonly string[] };
  readonly labelf: { readonly vqa: readonly Readonly<Record<string, number>>[] };
}

/** Scenes, and their questions once more in the forms of VQA and NLVR2, as the original re-distributes them. */
export async function questionScenes(folder: string, images: number, seed = 1): Promise<string> {
  await writeScenes({ out: folder, images, seed });
  for (const task of ['vqa', 'nlvr2']) mkdirSync(join(folder, task), { recursive: true });
  const answers = new Set<string>();
  let id = 0;
  for (const split of ['train', 'valid']) {
    const scenes = JSON.parse(readFileSync(join(folder, `${split}.json`), 'utf8')) as readonly SceneText[];
    const questions = scenes.flatMap(({ img_id, sentf, labelf }) =>
      sentf.vqa.map((sent, i) => {
        const label = labelf.vqa[i];
        Object.keys(label).forEach((answer) => answers.add(answer));
        return { question_id: ++id, img_id, sent, label, answer_type: 'other', question_type: sent.split(' ')[0] };
      }),
    );
    const pairs = scenes.map(({ img_id, sentf }, i) => ({
      identifier: `${split}-${i}-0-0`,
      img0: img_id,
      img1: scenes[(i + 1) % scenes.length].img_id,
      label: i % 2,
      sent: i % 2 === 1 ? sentf.captions[0] : scenes[(i + 2) % scenes.length].sentf.captions[0],
      uid: `pair ${i}`,
    }));
    writeFileSync(join(folder, `vqa/${split}.json`), JSON.stringify(questions));
    writeFileSync(join(folder, `nlvr2/${split}.json`), JSON.stringify(pairs));
  }
  // The scenes' own answer list is of their own questions.
  rmSync(join(folder, 'vqa/trainval_ans2label.json'), { force: true });
  writeFileSync(join(folder, 'vqa/trainval_label2ans.json'), JSON.stringify([...answers]));
  return folder;
}

/** A model of a few thousand parameters, without dropout unless given. */
export const smallModel = {
  'hidden-size': '24',
  'num-attention-heads': '2',
  'intermediate-size': '32',
  'l-layers': '1',
  'r-layers': '1',
  'x-layers': '2',
  'max-position-embeddings': '32',
} as const;
