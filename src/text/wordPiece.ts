import { Tokenizer } from '@huggingface/tokenizers';
import { LxmertError } from '../errors.js';
import { bertBaseUncased, readVocabulary, specialTokens } from './vocabulary.js';

export interface WordPieceOptions {
  /** A BERT `vocab.txt`; default: that of bert-base-uncased. */
  readonly vocabFile?: string | undefined;
}

/** Largest number of words in the cache, which is then emptied. Captions have about ten thousand different words. */
const CACHED_WORDS = 200_000;
const LONGEST_CACHED_WORD = 64;

/** Ideographs of two UTF-16 units. BERT makes each a separate word, but the library does not. */
const astralIdeograph = /[\u{20000}-\u{2a6df}\u{2a700}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

/** White space that always separates words. Other white space may be a control character, which is dropped instead. */
const isSpace = (code: number) => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;

/**
 * BERT's uncased WordPiece tokenizer (Devlin et al. 2019). It removes control characters, converts the text to lower
 * case, removes accents, and makes each ideograph and punctuation mark a separate word. Then it splits words by greedy
 * longest match.
 */
export class WordPiece {
  readonly vocabSize: number;
  readonly padId: number;
  readonly unkId: number;
  readonly clsId: number;
  readonly sepId: number;
  readonly maskId: number;
  readonly #pieces: readonly string[];
  readonly #tokenizer: Tokenizer;
  readonly #cache = new Map<string, readonly number[]>();

  private constructor(pieces: readonly string[]) {
    const ids = new Map(pieces.map((piece, id) => [piece, id]));
    const idOf = (token: string) => ids.get(token)!;
    this.#pieces = pieces;
    this.vocabSize = pieces.length;
    this.padId = idOf('[PAD]');
    this.unkId = idOf('[UNK]');
    this.clsId = idOf('[CLS]');
    this.sepId = idOf('[SEP]');
    this.maskId = idOf('[MASK]');
    this.#tokenizer = new Tokenizer(
      {
        added_tokens: specialTokens.map((content) => ({
          id: idOf(content),
          content,
          special: true,
          normalized: false,
          single_word: false,
          lstrip: false,
          rstrip: false,
        })),
        normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase: true },
        pre_tokenizer: { type: 'BertPreTokenizer' },
        post_processor: null,
        decoder: null,
        model: {
          type: 'WordPiece',
          unk_token: '[UNK]',
          continuing_subword_prefix: '##',
          max_input_chars_per_word: 100,
          vocab: Object.fromEntries(ids),
        },
      },
      {},
    );
  }

  /** Throws FILE_MISSING, FILE_ACCESS or BAD_DATA (see `readVocabulary`). */
  static async load(options: WordPieceOptions = {}): Promise<WordPiece> {
    return new WordPiece(
      options.vocabFile === undefined ? await bertBaseUncased() : await readVocabulary(options.vocabFile),
    );
  }

  /**
   * Returns the ids of `[CLS] sentence [SEP]`. The sentence is cut so that there are at most `maxTokens` ids, as in the
   * original. `maxTokens` is at least 2.
   */
  encode(sentence: string, maxTokens: number): Int32Array {
    if (!Number.isInteger(maxTokens) || maxTokens < 2) {
      throw new LxmertError('BAD_ARGUMENT', `maxTokens must be an integer from 2, found ${maxTokens}`);
    }
    const ids = [this.clsId];
    // No rule of BERT depends on two words, so the words can be converted one by one.
    for (let start = 0; start < sentence.length && ids.length < maxTokens;) {
      let end = start;
      while (end < sentence.length && !isSpace(sentence.charCodeAt(end))) end++;
      if (end > start) for (const id of this.#wordIds(sentence.slice(start, end))) ids.push(id);
      start = end + 1;
    }
    if (ids.length > maxTokens - 1) ids.length = maxTokens - 1;
    ids.push(this.sepId);
    return new Int32Array(ids);
  }

  /** All WordPieces, by id. */
  get pieces(): readonly string[] {
    return this.#pieces;
  }

  /** The WordPiece of an id. Throws BAD_ARGUMENT if there is none. */
  token(id: number): string {
    const piece = this.#pieces[id];
    if (piece === undefined) {
      throw new LxmertError('BAD_ARGUMENT', `token id ${id} is not in 0 … ${this.vocabSize - 1}`);
    }
    return piece;
  }

  #wordIds(word: string): readonly number[] {
    const cached = this.#cache.get(word);
    if (cached !== undefined) return cached;
    const ids = this.#tokenizer.encode(word.replace(astralIdeograph, ' $& '), { add_special_tokens: false }).ids;
    if (word.length <= LONGEST_CACHED_WORD) {
      if (this.#cache.size >= CACHED_WORDS) this.#cache.clear();
      this.#cache.set(word, ids);
    }
    return ids;
  }
}
