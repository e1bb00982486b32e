import { linear } from '../engine/index.js';
import { groupOf, linearEntries } from '../model/parameters.js';
import { classify, type PretrainTask } from './task.js';

const head = 'cls.seq_relationship';

/**
 * Predicts whether sentence and image belong together (LXMERT, section 3.1.3): one linear layer on the pooled output,
 * logits [samples, 2], class 1 for yes. The loss is the mean over the samples of the global batch.
 */
export const matched: PretrainTask = {
  reads: 'pooled',
  parameters: ({ hiddenSize }) => groupOf('matched', linearEntries(head, 2, hiddenSize)),
  counts: ({ size }) => ({ matched: size }),
  forward: (pass, pooled) => {
    const { encoder, batch } = pass;
    const logits = linear(encoder.tape, batch.samples, pooled, encoder.weights.linear(head));
    classify(pass, 'matched', batch.samples, logits, { labels: batch.matched });
  },
};
