import { join } from 'node:path';
import { writeFileDurable, writeFolderAtomic } from '../formats/atomicFile.js';
import type { ModelConfig } from '../config/modelConfig.js';
import { toTransformersJson } from '../config/transformers.js';
import { writeSafetensors } from '../formats/safetensors.js';
import type { ModelKind } from './kinds.js';
import type { OutputModel } from './output.js';

/**
 * The class of transformers that loads a model of each kind. For NLVR2 the class loads only the encoder, not the head.
 */
const architectures: Readonly<Record<ModelKind, string>> = {
  pretraining: 'LxmertForPreTraining',
  questionAnswering: 'LxmertForQuestionAnswering',
  nlvr2: 'LxmertModel',
  encoder: 'LxmertModel',
};

/** The text of `config.json`, with the class that has exactly these tensors. */
export function configText(config: ModelConfig, { kind, tensors, tasks }: OutputModel): string {
  const has = (begin: string) => tensors.some(({ name }) => name.startsWith(begin));
  const losses = (['obj', 'attr', 'feat'] as const).filter((loss) => has(`obj_predict_head.decoder_dict.${loss}.`));
  const whole = kind === 'pretraining';
  const text = toTransformersJson(config, {
    on: [
      ...(whole && !(tasks?.maskedLm ?? true) ? [] : (['maskedLm'] as const)),
      ...(whole && !(tasks?.matched ?? true) ? [] : (['matched'] as const)),
      ...(!whole || has('obj_predict_head.') ? (['objects'] as const) : []),
      ...(!whole || has('answer_head.') ? (['qa'] as const) : []),
    ],
    visualLosses: whole && has('obj_predict_head.') ? losses : ['obj', 'attr', 'feat'],
  });
  return text.replace(/("architectures": )\[[^\]]*\]/, `$1${JSON.stringify([architectures[kind]])}`);
}

/**
 * Writes a folder that transformers loads: `model.safetensors` and `config.json`, with `answers.json` and `vocab.txt`
 * if they are known. At any instant the folder is either complete or does not exist.
 * @throws FILE_ACCESS; the errors of reading the weights
 */
export async function writeTransformersFolder(folder: string, model: OutputModel): Promise<void> {
  const { config, tensors, dtype, answers, vocabulary, pieces } = model;
  await writeFolderAtomic(folder, async (inside) => {
    const specs = tensors.map(({ name, shape }) => ({ name, shape, dtype }));
    await writeSafetensors(join(inside, 'model.safetensors'), specs, pieces);
    const files = {
      'config.json': configText(config, model),
      ...(answers ? { 'answers.json': `${JSON.stringify(answers)}\n` } : {}),
      ...(vocabulary === undefined ? {} : { 'vocab.txt': vocabulary }),
    };
    for (const [name, text] of Object.entries(model.filesOf?.(files, model) ?? files))
      await writeFileDurable(join(inside, name), text);
  });
}
