import type { WordPiece } from '../../text/wordPiece.js';

/** BERT's special tokens, by their names in transformers. */
const specialTokens = {
  unk_token: '[UNK]',
  sep_token: '[SEP]',
  pad_token: '[PAD]',
  cls_token: '[CLS]',
  mask_token: '[MASK]',
} as const;

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** The files from which transformers loads the model's tokenizer, by name. @param maxTokens most tokens of a sentence */
export const tokenizerFiles = ({ pieces }: WordPiece, maxTokens: number): Record<string, string> => ({
  'vocab.txt': `${pieces.join('\n')}\n`,
  'tokenizer_config.json': json({
    tokenizer_class: 'LxmertTokenizer',
    do_lower_case: true,
    strip_accents: null,
    tokenize_chinese_chars: true,
    model_max_length: maxTokens,
    ...specialTokens,
  }),
  'special_tokens_map.json': json(specialTokens),
});
