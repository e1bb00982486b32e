import { LxmertError } from '../../errors.js';
import { Growable } from '../growable.js';
import { RandomStream } from '../random.js';
import type { AssembleJob, AssembleOptions, Assembly, AssemblyData, UnnamedBatch } from './batchJob.js';
import { assembleQuestions } from './assembleQuestions.js';
import type { Batch } from './batch.js';
import { bestAnswer, drawAnswer, drawFate, drawOtherImage, fates } from './masking.js';
import { packObjects } from './packObjects.js';

/**
 * Makes a batch of some samples, for the purpose in the options. Which words and objects are masked, which sentences
 * are swapped and which answers are drawn depends only on (seed, epoch, sample), and not on the other samples of the
 * batch. Rejects with the errors of reading features.
 */
export async function assembleBatch(
  data: AssemblyData,
  job: AssembleJob,
  options: AssembleOptions,
): Promise<UnnamedBatch> {
  if (typeof options.purpose === 'object') return assembleQuestions(data, job, options, options.purpose);
  const { samples, firstSample } = job;
  const assembly: Assembly = { data, job, options, random: new RandomStream(options.seed) };
  const sentences = chooseSentences(assembly);
  const matched = Int32Array.from(samples, (sample, s) => (sentences[s] === sample ? 1 : 0));
  return {
    size: samples.length,
    firstSample,
    ...packTokens(assembly, sentences),
    ...(await packObjects(assembly)),
    matched,
    answers: chooseAnswers(assembly, matched),
  };
}

/** For each sample, chooses the sample whose sentence it gets: itself, or a sample of another image. */
function chooseSentences({ data, job, options, random }: Assembly): Uint32Array {
  const { samples, epoch, tasks, unmasked } = job;
  return Uint32Array.from(samples, (sample) => {
    if (unmasked === true || !tasks.matched) return sample;
    random.at(epoch, sample, 'matching');
    if (random.uniform() >= options.rates.swapped) return sample;
    const other = drawOtherImage(random, data, data.images[sample]);
    if (other < 0) {
      throw new LxmertError(
        'BAD_DATA',
        `${data.name}: all ${data.size} sentences belong to one image; matching needs sentences of at least two images. ` +
          'Turn the task off or use other data.',
      );
    }
    return other;
  });
}

function packTokens(
  { data, job, options, random }: Assembly,
  sentences: Uint32Array,
): Pick<Batch, 'tokenIds' | 'tokenOffsets' | 'maskedTokenRows' | 'maskedTokenLabels'> {
  const { samples, epoch, tasks, unmasked } = job;
  const { rates } = options;
  const { tokens, tokenOffsets: offsets, wordPiece } = data;
  const tokenOffsets = new Int32Array(samples.length + 1);
  for (let s = 0; s < samples.length; s++) {
    tokenOffsets[s + 1] = tokenOffsets[s] + offsets[sentences[s] + 1] - offsets[sentences[s]];
  }
  const tokenIds = new Int32Array(tokenOffsets[samples.length]);
  const rows = new Growable((n) => new Int32Array(n), 64);
  const labels = new Growable((n) => new Int32Array(n), 64);
  for (let s = 0; s < samples.length; s++) {
    tokenIds.set(tokens.subarray(offsets[sentences[s]], offsets[sentences[s] + 1]), tokenOffsets[s]);
    if (unmasked === true || !tasks.maskedLm) continue;
    random.at(epoch, samples[s], 'words');
    for (let row = tokenOffsets[s] + 1; row < tokenOffsets[s + 1] - 1; row++) {
      const fate = drawFate(random, rates.words, rates);
      if (fate === fates.untouched) continue;
      rows.push(row);
      labels.push(tokenIds[row]);
      if (fate === fates.masked) tokenIds[row] = wordPiece.maskId;
      // Any WordPiece, including special ones, as in the original.
      else if (fate === fates.random) tokenIds[row] = random.below(wordPiece.vocabSize);
    }
  }
  return { tokenIds, tokenOffsets, maskedTokenRows: rows.finish(), maskedTokenLabels: labels.finish() };
}

function chooseAnswers({ data, job, random }: Assembly, matched: Int32Array): Int32Array {
  const { samples, epoch, tasks, unmasked } = job;
  return Int32Array.from(samples, (sample, s) => {
    if (!tasks.qa || matched[s] === 0) return -1;
    const from = data.answerOffsets[sample];
    const to = data.answerOffsets[sample + 1];
    if (unmasked === true) return bestAnswer(data, from, to);
    return drawAnswer(random.at(epoch, sample, 'answer'), data, from, to);
  });
}
