import type { WordPiece } from '../../text/wordPiece.js';
import { Growable } from '../growable.js';
import { sharedArrays } from '../sharedArrays.js';

export interface TokenStoreOptions {
  readonly wordPiece: WordPiece;
  /** The largest number of tokens of a sentence, including [CLS] and [SEP]. */
  readonly maxTokens: number;
}

/** Counts over the sentences of a store. */
export interface TokenCounts {
  readonly truncatedSentences: number;
  /** Number of sentences with at least one WordPiece between [CLS] and [SEP]. */
  readonly withWords: number;
  /** Number of WordPieces without [CLS] and [SEP], and how many of them are [UNK]. */
  readonly words: number;
  readonly unknownWords: number;
}

/** WordPieces of all sentences; sentence i has `tokenOffsets[i] … tokenOffsets[i + 1] - 1`. */
export interface PackedTokens {
  readonly tokens: Uint16Array | Int32Array;
  /** [sentences + 1] */
  readonly tokenOffsets: Uint32Array;
}

/** Collects the WordPieces of sentences, one after the other. */
export class TokenStore {
  readonly #options: TokenStoreOptions;
  readonly #tokens: Growable<Uint16Array | Int32Array>;
  readonly #offsets = new Growable(sharedArrays.uint32);
  #truncated = 0;
  #withWords = 0;
  #words = 0;
  #unknownWords = 0;

  constructor(options: TokenStoreOptions) {
    this.#options = options;
    const small = options.wordPiece.vocabSize <= 65536;
    this.#tokens = new Growable<Uint16Array | Int32Array>(small ? sharedArrays.uint16 : sharedArrays.int32);
    this.#offsets.push(0);
  }

  /** Adds a sentence. @returns whether it was cut */
  add(sentence: string): boolean {
    const { wordPiece, maxTokens } = this.#options;
    // One additional id shows whether the sentence is too long.
    const ids = wordPiece.encode(sentence, maxTokens + 1);
    const isCut = ids.length > maxTokens;
    if (isCut) {
      this.#truncated++;
      ids[maxTokens - 1] = wordPiece.sepId;
    }
    const kept = ids.subarray(0, maxTokens);
    this.#tokens.append(kept);
    this.#words += kept.length - 2;
    if (kept.length > 2) this.#withWords++;
    for (const id of kept) if (id === wordPiece.unkId) this.#unknownWords++;
    this.#offsets.push(this.#tokens.length);
    return isCut;
  }

  finish(): PackedTokens & TokenCounts {
    return {
      tokens: this.#tokens.finish(),
      tokenOffsets: this.#offsets.finish(),
      truncatedSentences: this.#truncated,
      withWords: this.#withWords,
      words: this.#words,
      unknownWords: this.#unknownWords,
    };
  }
}
