import { RandomStream } from '../random.js';
import type { AssembleJob, AssembleOptions, AssemblyData, BatchPurpose, UnnamedBatch } from './batchJob.js';
import { packObjects } from './packObjects.js';
import { packTargets } from './packTargets.js';

/**
 * Makes a batch of questions with their targets. Nothing is masked or swapped. A question about two pictures becomes two
 * adjacent samples with the same sentence, one for each picture. Rejects with the errors of reading features.
 */
export async function assembleQuestions(
  data: AssemblyData,
  job: AssembleJob,
  options: AssembleOptions,
  { none }: Exclude<BatchPurpose, 'pretrain'>,
): Promise<UnnamedBatch> {
  const { samples, firstSample } = job;
  const { pictures = 1 } = data;
  const size = samples.length * pictures;
  const unmasked = { ...job, unmasked: true };
  const { maskedObjectRows, ...objects } = await packObjects({
    ...{ data, job: unmasked, options, random: new RandomStream(options.seed) },
  });
  return {
    size,
    pictures,
    firstSample: firstSample * pictures,
    ...packTokens(data, samples, pictures),
    maskedTokenRows: new Int32Array(0),
    maskedTokenLabels: new Int32Array(0),
    ...objects,
    maskedObjectRows,
    matched: new Int32Array(size).fill(1),
    answers: new Int32Array(size).fill(-1),
    ...packTargets(
      Array.from(samples, (sample) => targetsOf(data, sample)),
      none,
    ),
  };
}

function packTokens({ tokens, tokenOffsets: offsets }: AssemblyData, samples: Uint32Array, pictures: number) {
  const sentences = Array.from(samples).flatMap((sample) => new Array<number>(pictures).fill(sample));
  const tokenOffsets = new Int32Array(sentences.length + 1);
  sentences.forEach((sample, s) => (tokenOffsets[s + 1] = tokenOffsets[s] + offsets[sample + 1] - offsets[sample]));
  const tokenIds = new Int32Array(tokenOffsets[sentences.length]);
  sentences.forEach((sample, s) =>
    tokenIds.set(tokens.subarray(offsets[sample], offsets[sample + 1]), tokenOffsets[s]),
  );
  return { tokenIds, tokenOffsets };
}

function targetsOf({ answerIds, answerScores, answerOffsets }: AssemblyData, sample: number) {
  const [from, to] = [answerOffsets[sample], answerOffsets[sample + 1]];
  return Array.from(answerIds.subarray(from, to), (id, i) => ({ id, score: answerScores[from + i] }));
}
