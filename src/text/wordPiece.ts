export interface WordPieceOptions {
  /** A BERT `vocab.txt`; default: that of bert-base-uncased. */
  readonly vocabFile?: string;
}

export declare class WordPiece {
  static load(options?: WordPieceOptions): Promise<WordPiece>;
  readonly vocabSize: number;
  readonly maskId: number;
  readonly clsId: number;
  readonly sepId: number;
  encode(sentence: string, maxTokens: number): Int32Array;
  token(id: number): string;
}
