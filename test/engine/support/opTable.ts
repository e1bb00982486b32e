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
 * Every op of the engine (native/engine/op_table.h): how to make random calls of it, and what float64 mathematics says
 * must come out. It knows no back end; all of them are held against it.
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
