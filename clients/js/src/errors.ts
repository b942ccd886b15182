/** What went wrong, for programs. */
export type PouwErrorCode =
  /** The unit does not add up or is not well formed; nothing was hashed. */
  | 'invalid_unit'
  /** The unit expires before its answer counts. */
  | 'expired'
  /** The time allowed is used up, or what the server asks for would take longer. */
  | 'deadline'
  /** The unit costs more than `maxCost` allows. */
  | 'too_expensive'
  /** `confirm` said no. */
  | 'declined'
  /** Sent as often as allowed, and the server kept answering 429. */
  | 'gave_up'
  /** The server refused the answer; `reason` says why. */
  | 'refused'
  /** The answer got a response that is not the server's: an error page, a 403 or 429 of something between. */
  | 'unexpected_response'
  /** The connection was lost after the answer had been sent; its receipt tells what happened. */
  | 'connection_lost'
  /** The request has a body that can be sent only once. */
  | 'one_shot_body'
  /** The client was closed. */
  | 'closed'
  /** The unit could not be hashed. */
  | 'solver_failed';

/** What a {@link PouwError} can carry beside its code. */
export interface PouwErrorDetails {
  /** The `reason` in the server's problem document. */
  reason?: string | undefined;
  /** Status of the last response. */
  status?: number | undefined;
  /** The last response; its body has not been read. */
  response?: Response | undefined;
  /** The unit that was being worked on; the name of its receipt. */
  workUnitId?: string | undefined;
  /** Member of the unit that is wrong. */
  member?: string | undefined;
  /** What caused it. */
  cause?: unknown;
}

/** Every rejection of this package, except an `AbortSignal`'s own reason. */
export class PouwError extends Error {
  /** What went wrong, for programs. */
  readonly code: PouwErrorCode;
  /** The `reason` in the server's problem document. */
  readonly reason?: string;
  /** Status of the last response. */
  readonly status?: number;
  /** The last response; its body has not been read. */
  readonly response?: Response;
  /** The unit that was being worked on; the name of its receipt. */
  readonly workUnitId?: string;
  /** Member of the unit that is wrong. */
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

/** Text of anything that was thrown. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
