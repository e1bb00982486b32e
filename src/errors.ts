/** The kinds of errors. Scripts may rely on these codes. */
export type ErrorCode =
  | 'BAD_ARGUMENT' // a value given to a function or flag
  | 'BAD_CONFIG' // a wrong configuration, or settings that cannot be combined
  | 'BAD_DATA' // the contents of a file
  | 'BAD_CHECKPOINT' // a checkpoint or fixture that does not fit the model
  | 'FILE_MISSING'
  | 'FILE_ACCESS' // a file or folder that cannot be read or written, or a full disk
  | 'RUN_FOLDER' // a run folder that is in use or belongs to another run
  | 'NOT_FINITE' // NaN or infinity in a loss or gradient
  | 'NO_DEVICE'
  | 'OUT_OF_MEMORY'
  | 'DISPOSED' // an engine or tensor was used after it was disposed
  | 'UNSUPPORTED' // an op that this back end does not have
  | 'ADDON' // the native addon is missing or does not load
  | 'RANK_LOST' // another process of the run has ended, does not respond, or has failed
  | 'INTERNAL';

/**
 * An error for the user: the message says what was given, where (file, line, field), what was expected
 * and what to do. Commands print only the message; with `--trace` they also print the stack.
 */
export class LxmertError extends Error {
  override readonly name = 'LxmertError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** True for errors of lxmert, even if another realm made them (worker threads, jest). */
export function isLxmertError(error: unknown): error is LxmertError {
  return typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'LxmertError';
}
