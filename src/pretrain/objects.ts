import type { ModelConfig } from '../config/modelConfig.js';
import { lossesOf, type VisualLossName } from '../config/tasks.js';
import { featuresOf, gatherRows, linear, type Rows, type Tensor } from '../engine/index.js';
import { transform, transformEntries } from '../model/heads.js';
import { groupOf, linearEntries } from '../model/parameters.js';
import { classify, regress, type HeadPass, type PretrainTask } from './task.js';

const head = 'obj_predict_head.transform';
const decoder = (loss: VisualLossName): string => `obj_predict_head.decoder_dict.${loss}`;

/** Outputs of the three decoders. */
const outputsOf = (config: ModelConfig): Readonly<Record<VisualLossName, number>> => ({
  obj: config.numObjectLabels,
  attr: config.numAttrLabels,
  feat: config.visualFeatDim,
});

/**
 * Object prediction (LXMERT, section 3.1.2) from the vision output. As in the original, class and attribute are
 * predicted for every object, weighted by the detector's confidence, and the RoI feature is regressed for masked objects
 * only (smooth L1, mean over the feature). Each loss is a sum over the number of real objects of the global batch, times
 * `visualLossNormalizer`.
 */
export const objects: PretrainTask = {
  reads: 'vision',
  parameters: (config) => [
    ...groupOf('objects', transformEntries(head, config)),
    ...Object.entries(outputsOf(config)).flatMap(([loss, outputs]) =>
      groupOf(loss, linearEntries(decoder(loss as VisualLossName), outputs, config.hiddenSize)),
    ),
  ],
  factor: ({ visualLossNormalizer }) => visualLossNormalizer,
  counts: ({ objectLabels }) => Object.fromEntries(lossesOf('objects').map((loss) => [loss, objectLabels.length])),
  forward: (pass, vision) => {
    const { encoder, batch, weights } = pass;
    const transformed = transform(encoder, batch.vision, vision, head);
    if (weights.obj)
      classify(pass, 'obj', batch.vision, decode(pass, 'obj', batch.vision, transformed), {
        labels: batch.objectLabels,
        weights: batch.objectConfs,
      });
    if (weights.attr)
      classify(pass, 'attr', batch.vision, decode(pass, 'attr', batch.vision, transformed), {
        labels: batch.attributeLabels,
        weights: batch.attributeConfs,
      });
    if (weights.feat) {
      const rows = batch.maskedObjects;
      const masked = gatherRows(encoder.tape, rows, transformed, batch.maskedObjectRows);
      const predictions = decode(pass, 'feat', rows, masked);
      // Targets are float32 in every precision.
      regress(pass, 'feat', rows, predictions, featuresOf(encoder.tape, rows, batch.featureTargets, 'f32'));
    }
  },
};

/** Logits of an object's class or attribute, or its regressed feature: [rows, H] → [rows, outputs]. */
function decode({ encoder }: HeadPass, loss: VisualLossName, rows: Rows, x: Tensor): Tensor {
  return linear(encoder.tape, rows, x, encoder.weights.linear(decoder(loss)));
}
