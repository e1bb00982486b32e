export { inspectMachine, machineMemory } from './machine.js';
export type { AddonReport, CudaReport, EngineReport, MachineMemory, MachineReport, NcclReport } from './machine.js';
export { planRun } from './plan.js';
export type { HostMemory, PlanRequest, RunPlan } from './plan.js';
export { checkValues } from './checkValues.js';
export type { BadImage, FileCheck } from './checkValues.js';
export { runFiles, storeBytesOf } from './dataFolder.js';
export type { RunFile } from './dataFolder.js';
