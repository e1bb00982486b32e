import type { OpenModelOptions } from '../finetune/index.js';

/** Limits of the server, and their defaults. */
export const limitDefaults = {
  /** Most bytes of a request's body. */
  maxBody: 16 * 2 ** 20,
  /** Most pixels of a picture. */
  maxPixels: 50_000_000,
  /** Most objects of a picture whose features are given. */
  maxObjects: 512,
  /** Most letters of a question or sentence, and most questions of one request. */
  maxLetters: 1000,
  maxQuestions: 32,
  /** Most requests that are read, wait, or are computed at the same time. More are refused with status 429. */
  maxQueue: 128,
  /** Seconds after which a request that is not answered yet gets status 503, or 408 if its body has not arrived. */
  requestTimeout: 30,
  /** Most questions that the device computes at once. */
  maxBatch: 32,
} as const;

export type Limits = Readonly<Record<keyof typeof limitDefaults, number>>;

export interface ServeOptions
  extends Partial<Limits>, Pick<OpenModelOptions, 'answers' | 'attentionHeads' | 'vocabulary' | 'maxTokens'> {
  /** Address to listen on; default 127.0.0.1, which only this machine can reach. */
  readonly host?: string | undefined;
  /** Port to listen on; default 8000. 0: any free port. */
  readonly port?: number | undefined;
  /** A data folder whose pictures can be named by their ids. */
  readonly data?: string | undefined;
  /** A feature store or feature TSV whose pictures can be named by their ids. */
  readonly store?: string | undefined;
  /** Folder with the picture files `<id>.jpg`, `.png`, `.webp` or `.svg`; default: `pictures` in the data folder. */
  readonly pictures?: string | undefined;
  /** The detector for uploaded pictures: an `.onnx` of `importDetector`, or the YAML of an own detector. */
  readonly detector?: string | undefined;
  readonly device?: OpenModelOptions['device'];
  readonly precision?: OpenModelOptions['precision'];
  readonly threads?: number | undefined;
  /** Called with lines about what is loaded, and with errors that were not expected. */
  readonly onNote?: ((text: string) => void) | undefined;
}
