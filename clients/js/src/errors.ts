/** The kind of a {@link PouwError}. */
export type PouwErrorCode =
  /** The unit is invalid, inconsistent, or expires too early; nothing was hashed. */
  | 'invalid_unit'
  /** The deadline has passed, or the server's wait would exceed it. */
  | 'deadline'
  /** The unit costs more than `maxCost` allows. */
  | 'too_expensive'
  /** `confirm` did not return true. */
  | 'declined'
  /** The server kept answering 429, or answered work with more work. */
  | 'gave_up'
  /** The server refused the answer; `reason` has the reason. */
  | 'refused'
  /** The response to the answer is not the limiter's: an error page, or a 403 or 429 of a proxy. */
  | 'unexpected_response'
  /** The answer got no response; its receipt shows whether it counted. */
  | 'connection_lost'
  /** The request has a body that can be sent only once. */
  | 'one_shot_body'
  /** The client was closed. */
  | 'closed'
  /** The unit could not be hashed. */
  | 'solver_failed'
  /** The stream could not be opened, and the limiter was not the reason. */
  | 'not_opened'
  /** A stream that cannot be opened through the limiter here: of another origin, or without what it needs. */
  | 'unsupported';

/** Details of a {@link PouwError}. */
export interface PouwErrorDetails {
  /** The `reason` in the server's problem document. */
  reason?: string | undefined;
  /** Status of the last response. */
  status?: number | undefined;
  /** The last response; its body has not been read. */
  response?: Response | undefined;
  /** The id of the unit and of its receipt. */
  workUnitId?: string | undefined;
  /** The invalid member of the unit. */
  member?: string | undefined;
  /** The cause. */
  cause?: unknown;
}

/** The error of this package. An `AbortSignal` rejects with its own reason instead. */
export class PouwError extends Error {
  /** The kind of a {@link PouwError}. */
  readonly code: PouwErrorCode;
  /** The `reason` in the server's problem document. */
  readonly reason?: string;
  /** Status of the last response. */
  readonly status?: number;
  /** The last response; its body has not been read. */
  readonly response?: Response;
  /** The id of the unit and of its receipt. */
  readonly workUnitId?: string;
  /** The invalid member of the unit. */
  readonly member?: string;

  constructor(code: PouwErrorCode, message: string, details: PouwErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.name = 'PouwError';
    this.code = code;
    const status = details.status ?? details.response?.status;
    if (details.reason !== undefined) this.reason = details.reason;
    if (status !== undefined) this.status = status;
    if (details.response !== undefined) this.response = details.response;
    if (details.workUnitId !== undefined) this.workUnitId = details.workUnitId;
    if (details.member !== undefined) this.member = details.member;
  }
}

/** Makes the error for an answer that got no response; `what` is its text if the connection was lost. */
export function lost(cause: unknown, signal: AbortSignal, workUnitId: string, what: string): unknown {
  const receipt = 'Its receipt shows whether it counted; the request may have been carried out.';
  if (!signal.aborted) return new PouwError('connection_lost', `${what} ${receipt}`, { cause, workUnitId });
  const { reason } = signal;
  if (!(reason instanceof PouwError)) return reason;
  const message = `${reason.message} The answer to work unit ${workUnitId} was being sent. ${receipt}`;
  return new PouwError(reason.code, message, { cause: reason, workUnitId });
}

/** Returns the text of any thrown value. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
