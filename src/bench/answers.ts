import type { ModelConfig } from '../config/modelConfig.js';
import type { Batch } from '../data/batches/batch.js';
import type { Precision } from '../engine/index.js';
import { plainSum, type LossName, type LossWeights } from '../pretrain/losses.js';
import { Pretrainer } from '../pretrain/pretrainer.js';
import { benchBatch } from './batch.js';
import { answerFlops, rowCounts } from './flops.js';
import { peakMemory, thisMachine, threadCount, type Machine } from './machine.js';
import { Peer } from './peer.js';
import { RateMeter, type Rates } from './rates.js';
import type { PeerReport } from './report.js';
import { timed, timesOf, type Times } from './statistics.js';
import { peerSetup } from './step.js';

const seed = 9595;
/** The model requires these options, but the benchmark trains nothing. */
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0, maxGradNorm: 0 };

export interface AnswersBenchOptions {
  readonly config: ModelConfig;
  /** Batch sizes; each is measured. */
  readonly batches: readonly number[];
  readonly tokens: readonly [number, number];
  readonly objects: number;
  /** Number of timed passes of each batch size, and of passes before them. */
  readonly steps: number;
  readonly warmup: number;
  readonly threads: number;
  /** Precision of the products; `float32` by default. */
  readonly precision?: Precision | undefined;
  readonly peerPython?: string | undefined;
  readonly onProgress?: (line: string) => void;
}

export interface BatchReport {
  readonly batch: number;
  readonly questionsPerSecond: number;
  readonly milliseconds: Times;
  /** The smallest number of FLOPs that an answer needs. */
  readonly gflopPerQuestion: number;
  readonly gflops: number;
  readonly sgemmShare: number;
  readonly peer?: PeerReport;
}

export interface AnswersReport extends Rates {
  readonly batches: readonly BatchReport[];
  readonly precision: Precision;
  readonly threads: number;
  readonly peakMemoryBytes: number;
  readonly machine: Machine;
  readonly peer?: { readonly name: string; readonly peakMemoryBytes: number; readonly memoryRatio: number };
}

/** Measures the time of answering questions: the forward pass with only the answer head, and the read of its scores. */
export async function benchAnswers(options: AnswersBenchOptions): Promise<AnswersReport> {
  const { config, tokens, objects, peerPython, onProgress: tell = () => undefined } = options;
  const machine = thisMachine();
  const threads = threadCount(options.threads);
  const { precision = 'float32' } = options;
  const batches = options.batches.map((samples) => benchBatch(config, { samples, tokens, objects, seed }));
  using peer =
    peerPython === undefined
      ? null
      : await Peer.start(peerPython, 'torch_answers.py', {
          batches: batches.map((batch) => peerSetup(config, batch, threads)),
        });
  const pretrainer = new Pretrainer({ config, adam, engine: { device: 'cpu', threads, precision } });
  try {
    await pretrainer.initialize(seed);
    await pretrainer.packWeights();
    const rates = new RateMeter(pretrainer.engine);
    const measured: { ours: number[]; theirs: number[] }[] = [];
    for (const [index, batch] of batches.entries()) {
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let i = 0; i < options.warmup + options.steps; i++) {
        const counts = i >= options.warmup;
        if (counts) await rates.measure();
        // The measurement of the rates has filled the caches with other data, and the peer has been idle.
        await answer(pretrainer, batch);
        const our = await timed(() => answer(pretrainer, batch));
        if (counts) ours.push(our);
        await peer?.run({ batch: index });
        const their = await peer?.run({ batch: index });
        if (counts && their !== undefined) theirs.push(their);
      }
      measured.push({ ours, theirs });
      tell(`${batch.size} at a time: ${timesOf(ours).median.toFixed(1)} ms`);
    }
    const peakMemoryBytes = peakMemory() - rates.grownBytes;
    const peerMemory = await peer?.end();
    return {
      batches: batches.map((batch, i) => batchReport(config, batch, measured[i], rates.best, peer)),
      ...rates.best,
      precision,
      threads,
      peakMemoryBytes,
      machine,
      ...(peer &&
        peerMemory !== undefined && {
          peer: { name: peer.name, peakMemoryBytes: peerMemory, memoryRatio: peakMemoryBytes / peerMemory },
        }),
    };
  } finally {
    await pretrainer.dispose();
  }
}

const answersOnly = Object.fromEntries(
  Object.keys(plainSum).map((name) => [name, (name as LossName) === 'qa' ? 1 : 0]),
) as unknown as LossWeights;

/** Scores of all answers, [batch, numQaLabels]. */
async function answer(pretrainer: Pretrainer, batch: Batch): Promise<Float32Array> {
  return pretrainer.forward(batch, answersOnly, { use: ({ logits }) => pretrainer.engine.readFloats(logits.qa!) });
}

function batchReport(
  config: ModelConfig,
  batch: Batch,
  { ours, theirs }: { ours: readonly number[]; theirs: readonly number[] },
  { sgemmGflops }: Rates,
  peer: Peer | null,
): BatchReport {
  const milliseconds = timesOf(ours);
  const perSecond = (times: Times): number => (1000 * batch.size) / times.median;
  const flops = answerFlops(config, rowCounts(batch));
  const gflops = flops / milliseconds.median / 1e6;
  const their = timesOf(theirs);
  return {
    batch: batch.size,
    questionsPerSecond: perSecond(milliseconds),
    milliseconds,
    gflopPerQuestion: flops / batch.size / 1e9,
    gflops,
    sgemmShare: gflops / sgemmGflops,
    ...(peer && {
      peer: {
        name: peer.name,
        samplesPerSecond: perSecond(their),
        milliseconds: their,
        ratio: their.median / milliseconds.median,
      },
    }),
  };
}
