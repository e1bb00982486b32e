import { answerEntries, answerHead } from '../model/heads.js';
import { groupOf } from '../model/parameters.js';
import { classify, type PretrainTask } from './task.js';

/**
 * Image question answering (LXMERT, section 3.1.3): one answer of the answer table, logits [samples, numQaLabels]. Samples
 * without an answer (label -1) do not count. The loss is the mean over the answered questions of the global batch.
 */
export const qa: PretrainTask = {
  reads: 'pooled',
  parameters: (config) => groupOf('qa', answerEntries(config, config.numQaLabels)),
  counts: ({ answers }) => ({ qa: answers.reduce((n, answer) => n + (answer >= 0 ? 1 : 0), 0) }),
  forward: (pass, pooled) => {
    const { encoder, batch } = pass;
    classify(pass, 'qa', batch.samples, answerHead(encoder, batch.samples, pooled), { labels: batch.answers });
  },
};
