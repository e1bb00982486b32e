/** The tasks for which a split can be opened. */
export type DataTask = 'pretrain' | 'vqa' | 'gqa' | 'nlvr2' | 'qa';

/** The files of one split, relative to the data folder. */
interface OriginalSplit {
  readonly features: string;
  readonly text: string;
}

const coco = (name: string) => `mscoco_imgfeat/${name}_obj36.tsv`;
const genome = 'vg_gqa_imgfeat/vg_gqa_obj36.tsv';
const gqaTest = 'vg_gqa_imgfeat/gqa_testdev_obj36.tsv';
const nlvr2 = (name: string) => `nlvr2_imgfeat/${name}_obj36.tsv`;

/** The feature file of each split in the public code's `data/` folder. */
const layout: Readonly<
  Record<DataTask, { readonly folder: string; readonly features: Readonly<Record<string, string>> }>
> = {
  pretrain: {
    folder: 'lxmert',
    features: {
      mscoco_train: coco('train2014'),
      mscoco_nominival: coco('val2014'),
      mscoco_minival: coco('val2014'),
      vgnococo: genome,
    },
  },
  vqa: {
    folder: 'vqa',
    features: {
      train: coco('train2014'),
      nominival: coco('val2014'),
      minival: coco('val2014'),
      valid: coco('val2014'),
      test: coco('test2015'),
    },
  },
  gqa: {
    folder: 'gqa',
    features: { train: genome, valid: genome, testdev: gqaTest, testdev_all: gqaTest, submit: genome },
  },
  nlvr2: {
    folder: 'nlvr2',
    features: {
      train: nlvr2('train'),
      valid: nlvr2('valid'),
      test: nlvr2('test'),
      // The names that lil-lab uses.
      dev: nlvr2('valid'),
      test1: nlvr2('test'),
    },
  },
  // The user's own data always need a data.yaml.
  qa: { folder: 'qa', features: {} },
};

/** The splits of a task in the original's layout, by name. */
export function originalSplits(task: DataTask): ReadonlyMap<string, OriginalSplit> {
  const { folder, features } = layout[task];
  return new Map(
    Object.entries(features).map(([split, file]) => [split, { features: file, text: `${folder}/${split}.json` }]),
  );
}
