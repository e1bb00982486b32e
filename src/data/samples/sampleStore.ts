import { LxmertError } from '../../errors.js';
import type { WordPiece } from '../../text/wordPiece.js';
import type { AnswerTable } from './answers.js';
import { Growable } from '../growable.js';
import { sharedArrays } from '../sharedArrays.js';
import { TokenStore } from './tokenStore.js';
import type { ImageSentences, SentenceSet } from './sentences.js';

/** The samples of some splits, one for each sentence, in typed arrays in shared memory. There may be ten million samples. */
export interface SampleArrays {
  /** Number of samples (N). */
  readonly size: number;
  /** Pictures of a sample; default 1. */
  readonly pictures?: 1 | 2 | undefined;
  /** Images of each sample, as positions in the feature source: [N × pictures]. */
  readonly images: Int32Array;
  /** WordPiece ids of all sentences, [CLS] and [SEP] included; sample i has `tokenOffsets[i] … tokenOffsets[i + 1] - 1`. */
  readonly tokens: Uint16Array | Int32Array;
  /** [N + 1]. */
  readonly tokenOffsets: Uint32Array;
  /** Answers of all samples and their scores; sample i has `answerOffsets[i] … answerOffsets[i + 1] - 1`. */
  readonly answerIds: Int32Array;
  readonly answerScores: Float32Array;
  /** [N + 1]. */
  readonly answerOffsets: Uint32Array;
}

export interface Samples extends SampleArrays {
  /** Name of the sentence set (`mscoco`, `vqa`), and number of the sentence in this set. */
  setOf(sample: number): string;
  numberOf(sample: number): number;
  /** The sentence set of a sample, if this set has labels (even if none of them is in the table); otherwise undefined. */
  questionSetOf(sample: number): string | undefined;
}

export interface SampleCounts {
  /** Number of samples with at least one answer of the table. */
  readonly questions: number;
  /** Number of samples with at least one word besides [CLS] and [SEP]. */
  readonly withWords: number;
  /** Number of WordPieces of all samples without [CLS] and [SEP], and how many of them are [UNK]. */
  readonly words: number;
  readonly unknownWords: number;
  readonly truncatedSentences: number;
  readonly unknownAnswers: number;
}

/** Details of each sample that training does not need, [N]; for the cache. */
export interface SampleDetails {
  /** Sentence set (index into `setNames`), number of the sentence in this set, and 1 if the set has labels. */
  readonly sets: Uint8Array;
  readonly setNames: readonly string[];
  readonly numbers: Uint32Array;
  readonly labelled: Uint8Array;
  /** 1 if the sentence was cut. */
  readonly truncated: Uint8Array;
  /** Number of answers that are not in the table. */
  readonly unknownAnswers: Uint32Array;
}

/** Largest number of a sentence set; the cache stores it in one byte. */
const MOST_SETS = 255;

export interface SampleStoreOptions {
  readonly wordPiece: WordPiece;
  readonly maxTokens: number;
  readonly answers: AnswerTable | undefined;
}

/** Collects samples as their sentences are read. */
export class SampleBuilder {
  readonly #options: SampleStoreOptions;
  readonly #images = new Growable(sharedArrays.int32);
  readonly #tokens: TokenStore;
  readonly #answerIds = new Growable(sharedArrays.int32);
  readonly #answerScores = new Growable(sharedArrays.float32);
  readonly #answerOffsets = new Growable(sharedArrays.uint32);
  readonly #sets = new Growable(sharedArrays.uint8);
  readonly #numbers = new Growable(sharedArrays.uint32);
  /** 1 if the sentence set of the sample has labels. */
  readonly #labelled = new Growable(sharedArrays.uint8);
  readonly #truncatedOf = new Growable((n) => new Uint8Array(n));
  readonly #unknownOf = new Growable((n) => new Uint32Array(n));
  readonly #setNames = new Map<string, number>();
  #questions = 0;
  #unknownAnswers = 0;

  constructor(options: SampleStoreOptions) {
    this.#options = options;
    this.#tokens = new TokenStore(options);
    this.#answerOffsets.push(0);
  }

  /** Number of samples so far. */
  get size(): number {
    return this.#images.length;
  }

  /** Adds all sentences of one image. */
  add(image: number, { sets }: ImageSentences): void {
    for (const set of sets) {
      const name = this.#setNumber(set.name);
      for (let i = 0; i < set.sentences.length; i++) {
        this.#images.push(image);
        this.#sets.push(name);
        this.#numbers.push(i);
        this.#labelled.push(set.labels === undefined ? 0 : 1);
        this.#truncatedOf.push(this.#tokens.add(set.sentences[i]) ? 1 : 0);
        const unknown = this.#unknownAnswers;
        this.#addAnswers(set.labels?.[i]);
        this.#unknownOf.push(this.#unknownAnswers - unknown);
      }
    }
  }

  finish(): Samples & SampleCounts & { readonly details: SampleDetails } {
    const setNames = [...this.#setNames.keys()];
    const sets = this.#sets.finish();
    const numbers = this.#numbers.finish();
    const labelled = this.#labelled.finish();
    return {
      size: this.#images.length,
      images: this.#images.finish(),
      ...this.#tokens.finish(),
      answerIds: this.#answerIds.finish(),
      answerScores: this.#answerScores.finish(),
      answerOffsets: this.#answerOffsets.finish(),
      setOf: (sample) => setNames[sets[sample]],
      numberOf: (sample) => numbers[sample],
      questionSetOf: (sample) => (labelled[sample] === 1 ? setNames[sets[sample]] : undefined),
      details: {
        ...{ sets, setNames, numbers, labelled },
        ...{ truncated: this.#truncatedOf.finish(), unknownAnswers: this.#unknownOf.finish() },
      },
      questions: this.#questions,
      unknownAnswers: this.#unknownAnswers,
    };
  }

  #setNumber(name: string): number {
    const known = this.#setNames.get(name);
    if (known !== undefined) return known;
    if (this.#setNames.size > MOST_SETS)
      throw new LxmertError('BAD_DATA', `sentences have more than ${MOST_SETS + 1} sets; is ${name} the name of one?`);
    this.#setNames.set(name, this.#setNames.size);
    return this.#setNames.size - 1;
  }

  #addAnswers(label: NonNullable<SentenceSet['labels']>[number] | undefined): void {
    const { answers } = this.#options;
    if (label !== undefined && answers !== undefined) {
      const from = this.#answerIds.length;
      const scores = new Map<number, number>();
      for (const [answer, score] of Object.entries(label)) {
        const id = answers.idOf(answer);
        if (id < 0) this.#unknownAnswers++;
        // If an answer has two spellings, the higher score is used. (The original uses the last one.)
        else if (score > (scores.get(id) ?? 0)) scores.set(id, score);
      }
      for (const [id, score] of scores) {
        this.#answerIds.push(id);
        this.#answerScores.push(score);
      }
      if (this.#answerIds.length > from) this.#questions++;
    }
    this.#answerOffsets.push(this.#answerIds.length);
  }
}
