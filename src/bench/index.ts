export { benchAnswers, type AnswersBenchOptions, type AnswersReport, type BatchReport } from './answers.js';
export { benchConfig, benchPresets, type BenchPreset, type Layers } from './config.js';
export { benchKernels, type KernelReport, type KernelsBenchOptions, type KernelsReport } from './kernels.js';
export { h200, stepFloors, type FloorsOptions, type FloorsReport, type OpFloor } from './floors.js';
export type { Machine } from './machine.js';
export type { Rates } from './rates.js';
export type { OpReport, PeerReport, Speed } from './report.js';
export type { Times } from './statistics.js';
export { benchStep, type BenchDevice, type StepBenchOptions, type StepReport } from './step.js';
