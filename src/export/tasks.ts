import { finetuneTasks, isFinetuneTask } from '../config/finetuneConfig.js';
import { LxmertError } from '../errors.js';
import type { TrainedWeights } from '../finetune/trainedWeights.js';

/** What an exported graph computes: the answers to questions of one form, all heads of pre-training, or hidden states. */
export const exportTasks = [...finetuneTasks, 'pretrain', 'encoder'] as const;
export type ExportTask = (typeof exportTasks)[number];

/** A tensor that only a head with this name has. */
const headTensors = {
  answers: 'answer_head.logit_fc.0.weight',
  words: 'cls.predictions.transform.dense.weight',
  match: 'cls.seq_relationship.weight',
  obj: 'obj_predict_head.decoder_dict.obj.weight',
  attr: 'obj_predict_head.decoder_dict.attr.weight',
  feat: 'obj_predict_head.decoder_dict.feat.weight',
} as const;

export type HeadName = keyof typeof headTensors;

/** For messages. */
const headTitles: Readonly<Record<HeadName, string>> = {
  answers: 'answers',
  words: 'masked words',
  match: 'matching',
  obj: 'object classes',
  attr: 'object attributes',
  feat: 'object features',
};

/** The heads that weights have. */
export function headsOf({ source }: Pick<TrainedWeights, 'source'>): ReadonlySet<HeadName> {
  const names = Object.keys(headTensors) as HeadName[];
  return new Set(names.filter((name) => source.tensors.has(headTensors[name])));
}

/**
 * The task of the exported graph: the given task, or that of the heads.
 * @throws UNSUPPORTED if the weights do not have the heads of the given task, naming the heads that they have
 */
export function taskOf(weights: TrainedWeights, given: ExportTask | undefined): ExportTask {
  const heads = headsOf(weights);
  const {
    task: trained,
    heads: { pictures },
    path,
  } = weights;
  const pretrained = [...heads].some((head) => head !== 'answers');
  if (given === undefined) {
    if (trained) return trained.task;
    if (pretrained) return 'pretrain';
    if (pictures === undefined) return 'encoder';
    return pictures === 2 ? 'nlvr2' : 'qa';
  }
  const refuse = (reason: string): never => {
    const has = [...heads].map((head) => (head === 'answers' ? answersTitle(pictures) : headTitles[head]));
    throw new LxmertError(
      'UNSUPPORTED',
      `${path}: --task ${given}: ${reason}. ` +
        (has.length > 0 ? `The heads of the model: ${has.join(', ')}` : 'The model has no heads; use --task encoder'),
    );
  };
  if (given === 'pretrain' && !pretrained) refuse('the model has no head of pre-training');
  if (!isFinetuneTask(given)) return given;
  if (pictures === undefined) refuse('the model has no answer head');
  if (trained && trained.task !== given) refuse(`the model was fine-tuned for ${trained.task}`);
  if (given === 'nlvr2' && pictures === 1) refuse('the model answers questions about one picture');
  if (['vqa', 'gqa'].includes(given) && pictures === 2) refuse('the model answers questions about two pictures');
  return given;
}

const answersTitle = (pictures: 1 | 2 | undefined): string =>
  `answers about ${pictures === 2 ? 'two pictures' : 'one picture'}`;
