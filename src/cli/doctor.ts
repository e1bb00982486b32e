import { finetuneTasks } from '../config/finetuneConfig.js';
import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import { finetuneSettings, pretrainSettings } from '../config/fields.js';
import { inspectMachine, planRun } from '../doctor/index.js';
import type { MachineReport, RunPlan } from '../doctor/index.js';
import { LxmertError } from '../errors.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { finetuneFlags } from './finetune.js';
import { flagOf, runSources, withRunFlags } from './runFlags.js';
import { duration, figure, whole } from './trainProgress.js';

const namesOf = ({ fields }: typeof pretrainSettings): readonly string[] => fields.map(({ flag }) => flag);
const flags = { pretrain: namesOf(pretrainSettings), finetune: namesOf(finetuneSettings) };

/** Flags of fine-tuning that pre-training does not have. */
const onlyFinetune = Object.fromEntries(
  finetuneSettings.fields
    .filter(({ flag }) => flag !== 'task' && !flags.pretrain.includes(flag))
    .map((field) => [field.flag, { ...flagOf(field), group: 'Fine-tuning:' }]),
);

/** @throws BAD_ARGUMENT for a flag of the other kind of run */
function demandFlagsOf(isFinetuning: boolean, args: Readonly<Record<string, unknown>>): void {
  const [own, others] = isFinetuning ? [flags.finetune, flags.pretrain] : [flags.pretrain, flags.finetune];
  const wrong = others.find((flag) => flag !== 'task' && args[flag] !== undefined && !own.includes(flag));
  if (wrong === undefined) return;
  const run = isFinetuning
    ? 'pre-training, not of fine-tuning'
    : 'fine-tuning: say on what, such as `lxmert doctor vqa`';
  throw new LxmertError('BAD_ARGUMENT', `--${wrong} is a setting of ${run}`);
}

export const command = defineCommand({
  command: 'doctor [task]',
  describe: 'what this machine has, and what a planned run (--data DIR, flags of pretrain or finetune) needs',
  builder: (yargs) =>
    withRunFlags(yargs)
      .options(onlyFinetune)
      .positional('task', { choices: finetuneTasks, describe: 'the planned run fine-tunes on these questions' })
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
    const isFinetuning = args.task !== undefined;
    demandFlagsOf(isFinetuning, args);
    const sources = runSources(args, isFinetuning ? finetuneFlags : undefined);
    // Also tells of a wrong flag before anything is looked at.
    const { device, threads } = await (isFinetuning ? loadFinetuneConfig(sources) : loadRunConfig(sources));
    const machine = await inspectMachine({ device, threads });
    const planned = sources.flags?.data !== undefined || sources.file !== undefined;
    const broken = 'error' in machine.engine ? machine.engine.error : undefined;
    const plan =
      planned && broken === undefined
        ? await planRun({ sources, steps: args.steps as number, observer: { note } })
        : undefined;
    if (args.json) printJson({ ...machine, ...(plan ? { plan } : {}) });
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
