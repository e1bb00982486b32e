import { readFileSync, realpathSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { addonFile, describeCuda, describeNccl, Engine } from '../engine/index.js';
import { isLxmertError } from '../errors.js';

/** The engine of this machine, or the reason why it does not start. */
export type EngineReport =
  { readonly device: string; readonly threads: number; readonly addon: AddonReport } | { readonly error: string };

export interface AddonReport {
  /** The compiler, from the file that setup writes beside the addon; absent if setup did not build the addon. */
  readonly compiler?: string;
  /** The value of -march, from the same file. */
  readonly march?: string;
  /** File name, with the version, of the oneDNN library in use; absent if the system does not list loaded libraries. */
  readonly oneDnn?: string;
}

export interface MachineReport {
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memory: MachineMemory;
  readonly engine: EngineReport;
  readonly cuda: CudaReport;
  readonly nccl: NcclReport;
}

/** A text about the CUDA device and its libraries, or about what is missing. */
export type CudaReport = { readonly device: string } | { readonly missing: string };

/** A text about NCCL, which several GPUs need to communicate, or about what is missing. One GPU does not need NCCL. */
export type NcclReport = { readonly library: string } | { readonly missing: string };

/** The memory of the machine in bytes. */
export interface MachineMemory {
  /** The largest amount that the process may use: the machine's memory, or the limit of its container. */
  readonly total: number;
  /** Memory that is free, or used only by caches. */
  readonly available: number;
}

export interface DoctorEngineOptions {
  readonly device?: 'auto' | 'cpu' | 'cuda';
  readonly threads?: number | undefined;
}

/** Describes this machine. If the engine does not start, the report has the error, and nothing is thrown. */
export async function inspectMachine(options: DoctorEngineOptions = {}): Promise<MachineReport> {
  return {
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: machineMemory(),
    engine: await inspectEngine(options),
    cuda: wordsOf(describeCuda, (device) => ({ device })),
    nccl: wordsOf(describeNccl, (library) => ({ library })),
  };
}

export function machineMemory(): MachineMemory {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(totalmem(), limit) : totalmem();
  const told = /^MemAvailable:\s*(\d+) kB$/m.exec(textOf('/proc/meminfo'))?.[1];
  const free = told === undefined ? freemem() : 1024 * Number(told);
  return { total, available: Math.min(free, total) };
}

async function inspectEngine({ device, threads = 0 }: DoctorEngineOptions): Promise<EngineReport> {
  try {
    const engine = Engine.create({ device, threads });
    await engine.synchronize();
    const report = { device: engine.device, threads: threads || availableParallelism(), addon: inspectAddon() };
    await engine.dispose();
    return report;
  } catch (error) {
    if (!isLxmertError(error)) throw error;
    return { error: error.message };
  }
}

function wordsOf<Report>(describe: () => string, report: (words: string) => Report): Report | { missing: string } {
  try {
    return report(describe());
  } catch (error) {
    if (!isLxmertError(error)) throw error;
    return { missing: error.message };
  }
}

/** The build record of the addon, and the oneDNN library that it has loaded. */
function inspectAddon(): AddonReport {
  const record = parsed(textOf(join(dirname(addonFile().file), 'lxmert-build.json')));
  const library = /\S*\/libdnnl\.so\S*/.exec(textOf('/proc/self/maps'))?.[0];
  return {
    compiler: typeof record.compiler === 'string' ? record.compiler : undefined,
    march: typeof record.march === 'string' ? record.march : undefined,
    oneDnn: library === undefined ? undefined : basename(realpathSync(library)),
  };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}

/** The text of a file; '' if there is none. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
