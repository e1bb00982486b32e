import { LxmertError } from '../../errors.js';
import type { AssembleOptions, AssemblyData, UnnamedBatch } from './assembly.js';
import type { Batch } from './batch.js';
import { Growable } from '../growable.js';
import { bestAnswer, drawAnswer, drawFate, drawOtherImage, fates } from './masking.js';
import { packObjects } from './packObjects.js';
import { RandomStream } from '../random.js';

/**
 * Makes a batch of some samples. Which words and objects are masked, what a sentence is swapped for and which answer is
 * asked for depend on (seed, epoch, sample) alone, not on the batch around them. Rejects with what reading the
 * features rejects with.
 */
export async function assembleBatch(
  data: AssemblyData,
  samples: ArrayLike<number>,
  options: AssembleOptions,
): Promise<UnnamedBatch> {
  const random = new RandomStream(options.seed);
  const size = samples.length;
  const sentences = chooseSentences(data, samples, random, options);
  const matched = Int32Array.from(samples, (sample, s) => (sentences[s] === sample ? 1 : 0));
  return {
    size,
    firstSample: options.firstSample,
    ...packTokens(data, samples, sentences, random, options),
    ...(await packObjects(data, samples, random, options)),
    matched,
    answers: chooseAnswers(data, samples, matched, random, options),
  };
}

/** The sample whose sentence each sample gets: its own, or one of another image. */
function chooseSentences(
  data: AssemblyData,
  samples: ArrayLike<number>,
  random: RandomStream,
  { epoch, masking, unmasked }: AssembleOptions,
): Uint32Array {
  const { tasks, rates } = masking;
  return Uint32Array.from(samples, (sample) => {
    if (unmasked === true || !tasks.matched) return sample;
    random.at(epoch, sample, 'matching');
    if (random.uniform() >= rates.swapped) return sample;
    const other = drawOtherImage(random, data, data.images[sample]);
    if (other < 0) {
      throw new LxmertError(
        'BAD_DATA',
        `${data.name}: all ${data.size} sentences belong to one image; matching needs sentences of two. ` +
          'Turn the task off or take other data.',
      );
    }
    return other;
  });
}

function packTokens(
  data: AssemblyData,
  samples: ArrayLike<number>,
  sentences: Uint32Array,
  random: RandomStream,
  { epoch, masking, unmasked }: AssembleOptions,
): Pick<Batch, 'tokenIds' | 'tokenOffsets' | 'maskedTokens'> {
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
    if (unmasked === true || !masking.tasks.maskedLm) continue;
    random.at(epoch, samples[s], 'words');
    for (let row = tokenOffsets[s] + 1; row < tokenOffsets[s + 1] - 1; row++) {
      const fate = drawFate(random, masking.rates.words, masking.rates);
      if (fate === fates.untouched) continue;
      rows.push(row);
      labels.push(tokenIds[row]);
      if (fate === fates.masked) tokenIds[row] = wordPiece.maskId;
      // Any WordPiece at all, special ones too, as in the original.
      else if (fate === fates.random) tokenIds[row] = random.below(wordPiece.vocabSize);
    }
  }
  return { tokenIds, tokenOffsets, maskedTokens: { rows: rows.finish(), labels: labels.finish() } };
}

function chooseAnswers(
  data: AssemblyData,
  samples: ArrayLike<number>,
  matched: Int32Array,
  random: RandomStream,
  { epoch, masking, unmasked }: AssembleOptions,
): Int32Array {
  return Int32Array.from(samples, (sample, s) => {
    if (!masking.tasks.qa || matched[s] === 0) return -1;
    const from = data.answerOffsets[sample];
    const to = data.answerOffsets[sample + 1];
    if (unmasked === true) return bestAnswer(data, from, to);
    return drawAnswer(random.at(epoch, sample, 'answer'), data, from, to);
  });
}
