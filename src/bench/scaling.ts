/** GPUs or CPU ranks that train together. All rates are of one rank or of one machine, in SI units. */
export interface Cluster {
  readonly machines: number;
  readonly ranksPerMachine: number;
  /** Bytes a second that each rank sends to other ranks of its machine, while it receives as many. */
  readonly insideBytesPerSecond: number;
  /** Bytes a second that a machine sends to other machines, over all its links, while it receives as many. */
  readonly outsideBytesPerSecond: number;
  /** Seconds that a sum of one bucket takes even if it is empty. */
  readonly bucketSeconds: number;
  /** Part of the speed of the kernels that communication takes while it runs: 0.1 means that kernels are 10 % slower. */
  readonly taken: number;
}

/** A step of one rank. */
export interface StepTimes {
  /** Seconds that do not depend on the number of samples: the update, and reading and writing weights. */
  readonly fixedSeconds: number;
  readonly sampleSeconds: number;
  /** The part of the seconds of samples that is the backward pass, during which buckets are summed. */
  readonly backwardShare: number;
  readonly gradientBytes: number;
  readonly bucketBytes: number;
}

export interface ScaledStep {
  readonly ranks: number;
  readonly samplesPerRank: number;
  readonly computeSeconds: number;
  /** All sums of a step. */
  readonly communicationSeconds: number;
  /** The part of `communicationSeconds` during which kernels wait. */
  readonly exposedSeconds: number;
  readonly stepSeconds: number;
  readonly samplesPerSecond: number;
  /** Samples a second of a rank, divided by those of one rank alone with as many samples. */
  readonly efficiency: number;
  /** What takes the longest time in a step: kernels, links inside of machines, links between machines, or small buckets. */
  readonly bottleneck: 'kernels' | 'inside' | 'outside' | 'latency';
}

/**
 * Models a step of data-parallel training. The gradient is summed bucket by bucket while the backward pass continues, first
 * inside of each machine (each rank receives its slice), then between machines (each rank its slice), and is then sent to all
 * ranks of the machine. The two kinds of links work at the same time on different buckets, so the slower one counts. The last
 * bucket is complete only at the end of the backward pass, so it is never hidden.
 */
export function scaledStep(cluster: Cluster, step: StepTimes, globalBatch: number): ScaledStep {
  const { machines, ranksPerMachine, taken } = cluster;
  const ranks = machines * ranksPerMachine;
  const samplesPerRank = globalBatch / ranks;
  const computeSeconds = step.fixedSeconds + step.sampleSeconds * samplesPerRank;
  const buckets = Math.max(1, Math.ceil(step.gradientBytes / step.bucketBytes));
  const both = (count: number): number => (2 * (count - 1)) / count;
  const inside = (both(ranksPerMachine) * step.gradientBytes) / cluster.insideBytesPerSecond;
  const outside = (both(machines) * step.gradientBytes) / cluster.outsideBytesPerSecond;
  const latency = ranks > 1 ? buckets * cluster.bucketSeconds : 0;
  const communicationSeconds = Math.max(inside, outside, latency);
  const lastBucket = (inside + outside + latency) / buckets;
  const backward = step.sampleSeconds * samplesPerRank * step.backwardShare;
  const hidden = Math.min(communicationSeconds, backward * (1 - 1 / buckets));
  const exposedSeconds = ranks > 1 ? Math.max(lastBucket, communicationSeconds - hidden) : 0;
  const stepSeconds = computeSeconds + taken * hidden + exposedSeconds;
  const longest = Math.max(computeSeconds, inside, outside, latency);
  return {
    ...{ ranks, samplesPerRank, computeSeconds, communicationSeconds, exposedSeconds, stepSeconds },
    samplesPerSecond: globalBatch / stepSeconds,
    efficiency: computeSeconds / stepSeconds,
    bottleneck:
      longest === computeSeconds
        ? 'kernels'
        : longest === inside
          ? 'inside'
          : longest === outside
            ? 'outside'
            : 'latency',
  };
}

/** Fixed seconds and seconds a sample from the times of two batches. */
export function stepTimesOf(
  [first, second]: readonly [
    { readonly batch: number; readonly seconds: number },
    { readonly batch: number; readonly seconds: number },
  ],
  rest: Pick<StepTimes, 'backwardShare' | 'gradientBytes' | 'bucketBytes'>,
): StepTimes {
  const sampleSeconds = (second.seconds - first.seconds) / (second.batch - first.batch);
  return { ...rest, sampleSeconds, fixedSeconds: first.seconds - sampleSeconds * first.batch };
}

const gradientBytes = 912e6;
const bucketBytes = 16 * 2 ** 20;

/**
 * The base model in bfloat16 on an H200: the floors of `bench step --floors` at 128 and 256 samples, times 16 / 13.75. So a step
 * of 256 samples takes 16 ms. This is the project's target; it is not measured.
 */
export const h200Step = stepTimesOf(
  [
    { batch: 128, seconds: (7.881e-3 * 16) / 13.753 },
    { batch: 256, seconds: 16e-3 },
  ],
  { backwardShare: 0.65, gradientBytes, bucketBytes },
);

/**
 * H200s with NVLink. NCCL reaches about 360 GB/s of NVLink's 450 GB/s, and 90 % of a link between machines; its kernels take up to
 * 20 of 132 multiprocessors. All of these are assumptions from published figures.
 */
export const h200Cluster = (machines: number, gigabitsPerSecond: number): Cluster => ({
  ...{ machines, ranksPerMachine: 8, insideBytesPerSecond: 360e9 },
  outsideBytesPerSecond: (0.9 * gigabitsPerSecond * 1e9) / 8,
  ...{ bucketSeconds: machines > 1 ? 60e-6 : 30e-6, taken: 0.15 },
});
