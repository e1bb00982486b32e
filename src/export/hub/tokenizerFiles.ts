import { specialTokens } from '../../text/vocabulary.js';
import type { WordPiece } from '../../text/wordPiece.js';

/** BERT's special tokens, by their names in transformers. */
const namedTokens = {
  unk_token: '[UNK]',
  sep_token: '[SEP]',
  pad_token: '[PAD]',
  cls_token: '[CLS]',
  mask_token: '[MASK]',
} as const;

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * The files from which other programs make the model's tokenizer, by name: `tokenizer.json` for libraries of Hugging Face in
 * any language, the other files for transformers.
 * @param maxTokens most tokens of a sentence
 */
export const tokenizerFiles = (wordPiece: WordPiece, maxTokens: number): Record<string, string> => ({
  'vocab.txt': `${wordPiece.pieces.join('\n')}\n`,
  'tokenizer.json': json(tokenizerOf(wordPiece)),
  'tokenizer_config.json': json({
    tokenizer_class: 'LxmertTokenizer',
    do_lower_case: true,
    strip_accents: null,
    tokenize_chinese_chars: true,
    model_max_length: maxTokens,
    ...namedTokens,
  }),
  'special_tokens_map.json': json(namedTokens),
});

/** BERT's uncased tokenizer in the form of Hugging Face's tokenizers: `[CLS] sentence [SEP]`, without padding. */
function tokenizerOf({ pieces, clsId, sepId }: WordPiece): object {
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: 'A' | 'B', type: number) => ({ Sequence: { id, type_id: type } });
  const endOfSecond = { SpecialToken: { id: '[SEP]', type_id: 1 } };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content) => ({
      ...{ id: ids.get(content)!, content, special: true },
      ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
    })),
    normalizer: {
      ...{ type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]'), sequence('A', 0), special('[SEP]')],
      pair: [special('[CLS]'), sequence('A', 0), special('[SEP]'), sequence('B', 1), endOfSecond],
      special_tokens: {
        '[CLS]': { id: '[CLS]', ids: [clsId], tokens: ['[CLS]'] },
        '[SEP]': { id: '[SEP]', ids: [sepId], tokens: ['[SEP]'] },
      },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(ids),
    },
  };
}
