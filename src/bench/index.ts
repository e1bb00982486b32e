export { benchRanks, type RankBenchReport } from './rankStep.js';
export { benchAnswers, type AnswersBenchOptions, type AnswersReport, type BatchReport } from './answers.js';
export { benchTasks, type BenchTask } from './benched.js';
export { benchConfig, benchPresets, type BenchPreset, type Layers } from './config.js';
export { benchData, type BenchDataReport } from './data.js';
export { benchKernels, type KernelReport, type KernelsBenchOptions, type KernelsReport } from './kernels.js';
export { h200, stepFloors, type FloorsOptions, type FloorsReport, type OpFloor } from './floors.js';
export type { Machine } from './machine.js';
export type { Rates } from './rates.js';
export type { OpReport, PeerReport, Speed } from './report.js';
export type { Times } from './statistics.js';
export { benchStep, type BenchDevice, type StepBenchOptions, type StepReport } from './step.js';
export {
  h200Cluster,
  h200Step,
  scaledStep,
  stepTimesOf,
  type Cluster,
  type ScaledStep,
  type StepTimes,
} from './scaling.js';
