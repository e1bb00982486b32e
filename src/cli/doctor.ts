import { loadRunConfig } from '../config/loadConfig.js';
import { inspectMachine, planRun } from '../doctor/index.js';
import type { MachineReport, RunPlan } from '../doctor/index.js';
import { LxmertError } from '../errors.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { runSources, withRunFlags } from './runFlags.js';
import { duration, figure, whole } from './trainProgress.js';

export const command = defineCommand({
  command: 'doctor',
  describe: 'what this machine has, and what a planned run (--data DIR, flags of pretrain) needs',
  builder: (yargs) =>
    withRunFlags(yargs)
      .option(
        'steps',
        integerOption('steps', {
          min: 0,
          max: 1000,
          default: 3,
          describe: 'steps to measure; 0: only memory and disk',
        }),
      )
      .option('json', jsonOption),
  handler: async (args) => {
    const sources = runSources(args);
    // Reports a wrong flag before the machine is inspected.
    const { device, threads } = await loadRunConfig(sources);
    const machine = await inspectMachine({ device, threads });
    const planned = sources.flags?.data !== undefined || sources.file !== undefined;
    const broken = 'error' in machine.engine ? machine.engine.error : undefined;
    const plan =
      planned && broken === undefined
        ? await planRun({ sources, steps: args.steps as number, observer: { note } })
        : undefined;
    if (args.json) printJson({ ...machine, plan });
    else [...tellMachine(machine), ...(plan ? tellPlan(plan) : [])].forEach(print);
    if (broken !== undefined) throw new LxmertError('ADDON', `the engine does not start: ${broken}`);
  },
});

function tellMachine({ node, platform, cpu, cores, memory, engine, cuda, nccl }: MachineReport): string[] {
  return [
    `Node        ${node} on ${platform}`,
    `CPU         ${cpu}, ${cores} cores`,
    `Memory      ${size(memory.total)}, ${size(memory.available)} of it available`,
    `CUDA        ${'device' in cuda ? cuda.device : `none: ${cuda.missing}`}`,
    `NCCL        ${'library' in nccl ? nccl.library : `none, and one GPU needs none: ${nccl.missing}`}`,
    ...('error' in engine
      ? []
      : [
          `Engine      ${engine.device}, ${engine.threads} threads`,
          `Addon       ${engine.addon.compiler ?? 'built by other means'}${engine.addon.march === undefined ? '' : `, -march=${engine.addon.march}`}`,
          `oneDNN      ${engine.addon.oneDnn ?? 'linked; the system does not tell which'}`,
        ]),
  ];
}

function tellPlan({ parameters, batchesPerEpoch, totalSteps, memory, disk, time, warnings }: RunPlan): string[] {
  const row = (name: string, bytes: number) => `  ${name.padEnd(12)}${size(bytes).padStart(10)}`;
  return [
    '',
    `The run: ${whole(parameters)} parameters, ${whole(totalSteps)} steps, ${whole(batchesPerEpoch)} an epoch`,
    '',
    `Memory      ${size(memory.total)} of ${size(memory.available)}`,
    row('process', memory.process),
    ...Object.entries(memory.arenas).flatMap(([name, bytes]) => (bytes > 0 ? [row(name, bytes)] : [])),
    `Disk        ${size(disk.total)}: up to ${disk.checkpoints} checkpoints of ${size(disk.checkpoint)}` +
      (disk.free === undefined ? '' : `; ${size(disk.free)} free`),
    time
      ? `Time        ${duration(time.secondsPerEpoch)} an epoch, ${duration(time.secondsInAll)} in all, by ${time.steps} steps of ` +
        `${figure(time.secondsPerStep)} s (${figure(time.samplesPerSecond)} samples/s); validation and saving come on top`
      : 'Time        not measured',
    ...warnings.map((text) => `Warning: ${text}`),
  ];
}

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}
