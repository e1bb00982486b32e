import type {
  AnswersReport,
  BenchDataReport,
  FloorsReport,
  KernelsReport,
  Machine,
  PeerReport,
  RankBenchReport,
  Rates,
  StepReport,
  Times,
} from '../bench/index.js';

const fixed = (value: number, digits = 1): string => value.toFixed(digits);
const percent = (share: number): string => `${fixed(100 * share)} %`;
const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
const spread = ({ median, min, max }: Times): string =>
  `${fixed(median)} ms (fastest ${fixed(min)}, slowest ${fixed(max)})`;

/** Columns of cells. The first `left` columns are left-aligned, and the others are right-aligned. */
function table(header: readonly string[], rows: readonly (readonly string[])[], left: number): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return all.map(line);
}

function machineLine({ cpu, cores, load }: Machine): string {
  return `${cpu}, ${cores} cores, load ${fixed(load)} before the run`;
}

/** On CUDA the tables have no column for threads. */
const onCuda = ({ device }: { readonly device: string }): boolean => device.startsWith('cuda');

function ratesLine({ sgemmGflops, copyGigabytesPerSecond }: Rates, threads?: number): string {
  return `rates${threads === undefined ? '' : ` with ${threads} threads`}: products ${fixed(sgemmGflops)} GFLOP/s, copies ${fixed(copyGigabytesPerSecond)} GB/s`;
}

function peerLine({ name, samplesPerSecond, milliseconds, ratio }: PeerReport): string {
  return `${name}: ${fixed(samplesPerSecond, 2)}/s, ${spread(milliseconds)}; ours is ${fixed(ratio, 2)} times as fast`;
}

/** The cells of a speed. Ops without matrix products have no GFLOP/s. */
const speedCells = (speed: {
  readonly gflops?: number;
  readonly gigabytesPerSecond: number;
  readonly floorShare: number;
}): string[] => [
  speed.gflops === undefined ? '' : fixed(speed.gflops),
  fixed(speed.gigabytesPerSecond),
  percent(speed.floorShare),
];

export function stepLines(report: StepReport): string[] {
  const { peer, ops } = report;
  const whole = ops.reduce((sum, { milliseconds }) => sum + milliseconds, 0) + report.otherMilliseconds;
  return [
    onCuda(report) ? report.device : machineLine(report.machine),
    ratesLine(report, onCuda(report) ? undefined : report.threads),
    '',
    `batch ${report.batch}: ${fixed(report.samplesPerSecond, 2)} samples/s, ${spread(report.stepMilliseconds)} a step`,
    `${fixed(report.gflopPerSample, 2)} GFLOP a sample: ${fixed(report.gflops)} GFLOP/s, ` +
      `${percent(report.sgemmShare)} of the product rate`,
    `peak memory ${megabytes(report.peakMemoryBytes)}`,
    ...(peer
      ? [
          '',
          peerLine(peer),
          `its peak memory ${megabytes(peer.peakMemoryBytes)}; ours is ${fixed(peer.memoryRatio, 2)} of it`,
        ]
      : []),
    '',
    ...table(
      ['op', 'calls', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of floor'],
      [
        ...ops.map((op) => [op.op, String(op.calls), fixed(op.milliseconds), percent(op.share), ...speedCells(op)]),
        [
          '(outside of ops)',
          '',
          fixed(report.otherMilliseconds),
          percent(report.otherMilliseconds / whole),
          '',
          '',
          '',
        ],
      ],
      1,
    ),
  ];
}

export function rankLines(report: RankBenchReport): string[] {
  const { ranks, threads, batch, aloneBatch, gradientParts, shardOptimizer, alone, shared, ratio, communication } =
    report;
  const { device, precision, efficiency } = report;
  const options = [
    `${ranks} ${ranks === 1 ? 'rank' : 'ranks'}`,
    ...(gradientParts === undefined ? [] : [`${gradientParts} gradient parts`]),
    ...(shardOptimizer ? ['sharded optimizer'] : []),
  ].join(', ');
  const speed = ({ samplesPerSecond, stepMilliseconds }: RankBenchReport['alone']): string =>
    `${fixed(samplesPerSecond, 2)} samples/s, ${spread(stepMilliseconds)} a step`;
  return [
    machineLine(report.machine),
    '',
    `${device} in ${precision}, batch ${batch}, ${threads} ${threads === 1 ? 'thread' : 'threads'} a process`,
    `one process${aloneBatch === batch ? '' : ` with batch ${aloneBatch}`}: ${speed(alone)}`,
    `${options}: ${speed(shared)}; ${fixed(ratio, 2)} times as fast, efficiency ${percent(efficiency)}`,
    ...(communication
      ? [
          `rank 0 sends ${megabytes(communication.sentBytes)} a step in ${fixed(communication.milliseconds)} ms; the step waits ` +
            `${fixed(communication.waitingMilliseconds)} ms for it (${percent(communication.notHidden)} is not hidden)`,
        ]
      : []),
  ];
}

export function floorsLines(report: FloorsReport): string[] {
  const { total } = report;
  const cells = ({ calls, launches, flops, bytes, milliseconds }: FloorsReport['total']): string[] => [
    ...[calls, launches].map(String),
    fixed(flops / 1e9),
    fixed(bytes / 1e6),
    fixed(milliseconds, 3),
  ];
  return [
    `computed, not measured: ${report.precision}, products ${fixed(report.sgemmGflops / 1000, 0)} TFLOP/s, ` +
      `copies ${fixed(report.copyGigabytesPerSecond / 1000)} TB/s`,
    `batch ${report.batch}: at least ${fixed(total.milliseconds)} ms a step, ` +
      `${fixed((1000 * report.batch) / total.milliseconds, 0)} samples/s at most`,
    '',
    ...table(
      ['op', 'calls', 'launches', 'GFLOP', 'MB', 'ms'],
      [...report.ops.map((op) => [op.op, ...cells(op)]), ['(all)', ...cells(total)]],
      1,
    ),
  ];
}

export function kernelsLines(report: KernelsReport): string[] {
  const { kernels, rates, precision, machine } = report;
  const threadsOf = ({ threads }: { readonly threads: number }) => (onCuda(report) ? undefined : threads);
  return [
    onCuda(report) ? report.device : machineLine(machine),
    ...rates.map((rate) => `${precision}, ${ratesLine(rate, threadsOf(rate))}`),
    '',
    ...table(
      ['op', 'shape', 'threads', 'batch', 'ms', 'GFLOP/s', 'GB/s', 'of floor'],
      kernels.map((k) => [
        k.op,
        k.shape,
        String(threadsOf(k) ?? ''),
        String(k.batch ?? ''),
        fixed(k.milliseconds.median, 4),
        ...speedCells(k),
      ]),
      2,
    ),
  ];
}

export function answersLines(report: AnswersReport): string[] {
  const { peer } = report;
  return [
    machineLine(report.machine),
    ratesLine(report, report.threads),
    ...report.batches.flatMap((batch) => [
      '',
      `${batch.batch} at a time: ${fixed(batch.questionsPerSecond, 2)} questions/s, ${spread(batch.milliseconds)}`,
      `${fixed(batch.gflopPerQuestion, 2)} GFLOP a question needed: ${fixed(batch.gflops)} GFLOP/s, ` +
        `${percent(batch.sgemmShare)} of the product rate`,
      ...(batch.peer ? [peerLine(batch.peer)] : []),
    ]),
    '',
    `peak memory ${megabytes(report.peakMemoryBytes)}` +
      (peer ? `, ${fixed(peer.memoryRatio, 2)} of the peer's ${megabytes(peer.peakMemoryBytes)}` : ''),
  ];
}

/**
 * @param demand the largest number of samples a second that an H200 could process, computed from the shortest possible
 * time of each op
 */
export function dataLines(report: BenchDataReport, demand: number, precision: string): string[] {
  const { images, featureDim, objectsPerImage, workers, cores } = report;
  const rate = (samples: number, bytes: number) => `${fixed(samples, 0)} samples/s, ${fixed(bytes / 1e9, 2)} GB/s`;
  return [
    `${images} images of ${fixed(objectsPerImage)} x ${featureDim}; ${workers} threads, ${cores} cores`,
    `batches, masks on:     ${rate(report.samplesPerSecond, report.bytesPerSecond)} of float32`,
    `copy of page cache:    ${rate(report.copySamplesPerSecond, report.copyBytesPerSecond)} as stored, one thread`,
    `batches over copies:   ${percent(report.share)}`,
    `an H200 needs at most: ${fixed(demand, 0)} samples/s with ${precision}`,
  ];
}
