import { STATUS_CODES } from 'node:http';
import { isLxmertError, type ErrorCode } from '../errors.js';

/** One wrong value of a request. */
export interface Fault {
  /** Where the value is, such as `picture.boxes[2]`. */
  readonly field: string;
  readonly message: string;
}

/** An error that the client is told as problem+json (RFC 9457). */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;
  readonly faults: readonly Fault[] | undefined;

  constructor(status: number, detail: string, faults?: readonly Fault[]) {
    super(detail);
    this.status = status;
    this.faults = faults;
  }
}

/** The statuses of errors that a request can cause. Other errors are 500. */
const statuses: Partial<Record<ErrorCode, number>> = {
  BAD_ARGUMENT: 422,
  BAD_DATA: 422,
  NOT_FINITE: 422,
  UNSUPPORTED: 501,
  OUT_OF_MEMORY: 503,
};

/** What fastify's own errors mean for a client. */
const frameworkDetails: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE:
    'the Content-Type is not known here; expected application/json, or image/jpeg, image/png or image/webp for a picture as the body',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body is empty; expected a JSON object',
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body is not valid JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'the body has another length than Content-Length says',
};

/** The error as a problem, or undefined if no client caused it. */
export function problemOf(error: unknown, limits: { readonly maxBody: number }): Problem | undefined {
  if (error instanceof Problem) return error;
  if (isLxmertError(error)) {
    const status = statuses[error.code];
    return status === undefined ? undefined : new Problem(status, error.message);
  }
  const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string };
  if (statusCode === undefined || statusCode < 400 || statusCode > 499) return undefined;
  if (statusCode === 413)
    return new Problem(413, `the body is larger than ${limits.maxBody} bytes, the most that this server takes`);
  return new Problem(statusCode, frameworkDetails[code ?? ''] ?? message ?? 'the request is not valid');
}

/** The body of a problem. `type` is left out, which means that the status says what kind of problem it is. */
export function problemBody({ status, message, faults }: Problem): string {
  return JSON.stringify({ title: STATUS_CODES[status] ?? 'Error', status, detail: message, errors: faults });
}
