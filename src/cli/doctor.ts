import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import { checkValues, inspectMachine, planRun, runFiles, storeBytesOf } from '../doctor/index.js';
import type { FileCheck, MachineReport, RunFile, RunPlan } from '../doctor/index.js';
import { LxmertError } from '../errors.js';
import { byteSize, counted, duration, figure, percent, whole } from '../figures.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { eitherRunSources, withEitherRunFlags } from './runFlags.js';

export const command = defineCommand({
  command: 'doctor [task]',
  describe: 'show what this machine has, and what a planned run (--data DIR, flags of pretrain or finetune) needs',
  builder: (yargs) =>
    withEitherRunFlags(yargs, 'the planned run fine-tunes on these questions')
      .option(
        'steps',
        integerOption('steps', {
          min: 0,
          max: 1000,
          default: 3,
          describe: 'steps to measure; 0: only memory and disk',
        }),
      )
      .option('check-values', {
        type: 'boolean',
        default: false,
        describe: 'read every number of the feature files of --data and name the images that cannot be read',
      })
      .option('json', jsonOption),
  handler: async (args) => {
    const { isFinetuning, sources } = eitherRunSources(args, 'lxmert doctor');
    // A wrong flag is refused here, before any measurement.
    const { device, threads } = await (isFinetuning ? loadFinetuneConfig(sources) : loadRunConfig(sources));
    const machine = await inspectMachine({ device, threads });
    const planned = sources.flags?.data !== undefined || sources.file !== undefined;
    const broken = 'error' in machine.engine ? machine.engine.error : undefined;
    if (args.checkValues === true && !planned)
      throw new LxmertError('BAD_ARGUMENT', '--check-values needs --data or --config: the data to check');
    const files = planned ? await runFiles(sources) : undefined;
    const missing = files?.filter(({ bytes }) => bytes === undefined) ?? [];
    const isWhole = missing.length === 0;
    const values =
      args.checkValues === true && isWhole ? await checkValues({ sources, progress: noteProgress() }) : undefined;
    const damaged = values?.reduce((sum, { bad }) => sum + bad.length, 0) ?? 0;
    const plan =
      planned && isWhole && broken === undefined && damaged === 0
        ? await planRun({ sources, steps: args.steps as number, observer: { note } })
        : undefined;
    if (args.json) printJson({ ...machine, files, values, plan });
    else
      [
        ...tellMachine(machine),
        ...(files ? tellFiles(files) : []),
        ...(values ? tellValues(values) : []),
        ...(plan ? tellPlan(plan) : []),
      ].forEach(print);
    if (!isWhole)
      throw new LxmertError(
        'FILE_MISSING',
        `${counted(missing.length, 'file')} of the planned run ${missing.length === 1 ? 'is' : 'are'} not there: ` +
          missing.map(({ path }) => path).join(', '),
      );
    if (damaged > 0)
      throw new LxmertError(
        'BAD_DATA',
        `${counted(damaged, 'image')} cannot be read. To train without ${damaged === 1 ? 'it' : 'them'}, write the ids into a ` +
          'file, one a line, and give that file with --exclude FILE',
      );
    if (broken !== undefined) throw new LxmertError('ADDON', `the engine does not start: ${broken}`);
  },
});

function tellMachine({ node, platform, cpu, cores, memory, engine, cuda, nccl }: MachineReport): string[] {
  return [
    `Node        ${node} on ${platform}`,
    `CPU         ${cpu}, ${cores} cores`,
    `Memory      ${byteSize(memory.total)}, ${byteSize(memory.available)} of it available`,
    `CUDA        ${'device' in cuda ? cuda.device : `none: ${cuda.missing}`}`,
    `NCCL        ${'library' in nccl ? nccl.library : `none, and one GPU needs none: ${nccl.missing}`}`,
    ...('error' in engine
      ? []
      : [
          `Engine      ${engine.device}, ${engine.threads} threads`,
          `Addon       ${engine.addon.compiler ?? 'built by other means'}${engine.addon.march === undefined ? '' : `, -march=${engine.addon.march}`}`,
          `oneDNN      ${engine.addon.oneDnn ?? 'linked; its version is not known'}`,
        ]),
  ];
}

/** Milliseconds between two lines of progress. */
const progressInterval = 5000;

/** Prints the progress of a check every few seconds. */
function noteProgress(): (path: string, share: number) => void {
  let noted = performance.now();
  return (path, share) => {
    if (performance.now() - noted < progressInterval) return;
    noted = performance.now();
    note(`${path}: ${percent(share)} checked`);
  };
}

/** The files of a planned run, features first. */
function tellFiles(files: readonly RunFile[]): string[] {
  const lines = files.map(({ path, what, bytes, form, splits }) => {
    const where = splits.length > 0 ? ` of ${splits.join(', ')}` : '';
    const told = form === 'tsv' ? `; as a float16 store about ${byteSize(storeBytesOf(bytes!))}` : '';
    return `  ${(bytes === undefined ? 'missing' : byteSize(bytes)).padStart(10)}  ${path} (${form ?? what}${where})${told}`;
  });
  return ['', 'Data        files that the run reads', ...lines];
}

/** How many sentences have an image. */
const tellCoverage = ({
  name,
  sentences,
  withoutImage,
  images,
  withoutSentences,
}: RunPlan['coverage'][number]): string =>
  `Coverage    ${name}: ${counted(sentences, 'sentence')} with features of their image` +
  (withoutImage > 0 ? `, ${whole(withoutImage)} without (${percent(withoutImage / (sentences + withoutImage))})` : '') +
  (images === undefined ? '' : `; ${counted(images, 'image')} with sentences`) +
  (withoutSentences ? `, ${whole(withoutSentences)} without` : '');

/** Number of damaged images that the text names. The output with `--json` has all of them. */
const mostNamed = 50;

function tellValues(files: readonly FileCheck[]): string[] {
  return files.flatMap(({ path, images, objects, featureDim, remarks, bad }) => [
    '',
    `Values      ${path}: ${counted(images, 'image')}, ${counted(objects, 'object')}, features of ${counted(featureDim, 'float')}: ` +
      (bad.length === 0 ? 'all can be read' : `${counted(bad.length, 'image')} cannot be read`),
    ...remarks.map((text) => `  ${text}`),
    ...bad.slice(0, mostNamed).map(({ problem }) => `  ${problem}`),
    ...(bad.length > mostNamed ? [`  and ${whole(bad.length - mostNamed)} more (--json names all)`] : []),
  ]);
}

function tellPlan({
  parameters,
  batchesPerEpoch,
  totalSteps,
  memory,
  disk,
  time,
  coverage,
  data,
  warnings,
}: RunPlan): string[] {
  const row = (name: string, bytes: number) => `  ${name.padEnd(12)}${byteSize(bytes).padStart(10)}`;
  return [
    '',
    `The run: ${whole(parameters)} parameters, ${whole(totalSteps)} steps, ${whole(batchesPerEpoch)} an epoch`,
    '',
    `Memory      ${byteSize(memory.total)} of ${byteSize(memory.available)}`,
    row('process', memory.process),
    ...Object.entries(memory.arenas).flatMap(([name, bytes]) => (bytes > 0 ? [row(name, bytes)] : [])),
    `Disk        ${byteSize(disk.total)}: up to ${disk.checkpoints} checkpoints of ${byteSize(disk.checkpoint)}, logs of ` +
      byteSize(disk.logs) +
      (disk.free === undefined ? '' : `; ${byteSize(disk.free)} free`),
    time
      ? `Time        ${duration(time.secondsPerEpoch)} an epoch, ${duration(time.secondsInAll)} in all, by ${time.steps} steps of ` +
        `${figure(time.secondsPerStep)} s (${figure(time.samplesPerSecond)} samples/s); validation and saving are not included`
      : 'Time        not measured',
    ...(data && time
      ? [
          `Batches     ${figure(data.samplesPerSecond)} samples/s can be made, by ${data.batches} batches; the device takes ` +
            figure(time.samplesPerSecond),
        ]
      : []),
    ...coverage.map(tellCoverage),
    ...warnings.map((text) => `Warning: ${text}`),
  ];
}
