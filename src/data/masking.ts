/** Which pre-training tasks the data is prepared for. */
export interface PretrainTasks {
  /** Off: no word is masked. */
  readonly maskedLm: boolean;
  /** Off: no object is masked. */
  readonly objects: boolean;
  /** Off: no sentence is swapped. */
  readonly matched: boolean;
  /** Off: no sample has an answer. */
  readonly qa: boolean;
}

export const allTasks: PretrainTasks = { maskedLm: true, objects: true, matched: true, qa: true };

/** How much is masked and swapped. */
export interface MaskingRates {
  /** Share of tokens to predict; [CLS] and [SEP] never are. */
  readonly words: number;
  /** Share of objects to predict. */
  readonly objects: number;
  /** Of those: share replaced by [MASK] or a zero feature, and by a random word or another image's object. */
  readonly masked: number;
  readonly random: number;
  /** Share of samples that get a sentence of another image. */
  readonly swapped: number;
}

/** LXMERT, sections 3.1 and 3.2 and the public code. */
export const paperRates: MaskingRates = { words: 0.15, objects: 0.15, masked: 0.8, random: 0.1, swapped: 0.5 };

export interface MaskingOptions {
  readonly tasks?: PretrainTasks;
  readonly rates?: Partial<MaskingRates>;
}
