import { gatherRows, linear } from '../engine/index.js';
import { transform, transformEntries } from '../model/heads.js';
import { groupOf, wordColumns } from '../model/parameters.js';
import { classify, type PretrainTask } from './task.js';

const head = 'cls.predictions.transform';

/**
 * Masked words are predicted from the language output (LXMERT, section 3.1.1). The head runs on masked rows only:
 * `transform`, then the word-embedding table as decoder. Logits: [masked rows, vocabSize], and zeros up to a multiple of
 * 64 columns. The loss is the mean over the masked words of the global batch.
 */
export const maskedLm: PretrainTask = {
  reads: 'language',
  parameters: (config) =>
    groupOf('maskedLm', [
      ...transformEntries(head, config),
      { name: 'cls.predictions.bias', shape: [config.vocabSize], roomRows: wordColumns(config), initial: 'zeros' },
    ]),
  counts: ({ maskedTokenRows }) => ({ maskedLm: maskedTokenRows.length }),
  forward: (pass, language) => {
    const { encoder, batch } = pass;
    const rows = batch.maskedTokens;
    const masked = gatherRows(encoder.tape, rows, language, batch.maskedTokenRows);
    const transformed = transform(encoder, rows, masked, head);
    const logits = linear(encoder.tape, rows, transformed, encoder.weights.wordDecoder());
    classify(pass, 'maskedLm', rows, logits, { labels: batch.maskedTokenLabels, classes: encoder.config.vocabSize });
  },
};
