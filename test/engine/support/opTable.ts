import type { OpName } from '../../../src/engine/native.js';
import { attentionOps } from './table/attention.js';
import { elementwiseOps } from './table/elementwise.js';
import { embeddingOps } from './table/embeddings.js';
import { gatherFeaturesOps } from './table/gatherFeatures.js';
import { gatherRowsOps } from './table/gatherRows.js';
import { layerNormOps } from './table/layerNorm.js';
import { linearOps } from './table/linear.js';
import { lossOps } from './table/losses.js';
import { optimizerOps } from './table/optimizer.js';
import type { MakeCase } from './world.js';

/**
 * Every op of the engine (native/engine/op_table.h): functions that make random calls, and functions that compute the
 * expected results in float64. All back ends are compared with this table.
 */
export const opTable: Readonly<Record<OpName, MakeCase>> = {
  ...linearOps,
  ...elementwiseOps,
  ...attentionOps,
  ...layerNormOps,
  ...embeddingOps,
  ...gatherRowsOps,
  ...gatherFeaturesOps,
  ...lossOps,
  ...optimizerOps,
};

export const opNames = Object.keys(opTable) as OpName[];
