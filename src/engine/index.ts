export { Engine, type OwnedTensor, type Recording } from './engine.js';
export { Communicator, mpiLibrary } from './communicator.js';
export type { OpProfile } from './opProfile.js';
export type { Dropout, OpArgument } from './encodeCall.js';
export { addonFile } from './load.js';
export { Recordings } from './recordings.js';
export { describeCuda, describeNccl, precisions, useGpu, type EngineOptions, type Precision } from './device.js';
export type { OpName } from './native.js';
export { GradientLedger, type Parameter } from './gradientLedger.js';
export { Tape } from './tape.js';
export {
  bytesOf,
  dtypeBytes,
  elementBytes,
  elements,
  joinRows,
  rowBlock,
  type ArenaName,
  type DType,
  type Tensor,
} from './tensor.js';
export {
  allRows,
  lossSlots,
  stepRecordWords,
  writeStepRecord,
  type Rows,
  type RowSet,
  type StepRecord,
} from './stepRecord.js';
export * from './ops/activations.js';
export * from './ops/attention.js';
export * from './ops/feedForward.js';
export * from './ops/fill.js';
export * from './ops/gatherFeatures.js';
export * from './ops/gatherRows.js';
export * from './ops/layerNorm.js';
export * from './ops/linear.js';
export * from './ops/losses.js';
export * from './ops/objectEmbedding.js';
export * from './ops/optimizer.js';
export * from './ops/tokenEmbedding.js';
